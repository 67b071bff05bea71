"""The page that maps promises to tests names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_named_on_the_page_exists() -> None:
    text = (ROOT / "docs/testing/pause-resume.md").read_text()
    named = re.findall(r"`((?:tests/[\w/.]+\.py|…)(?:::\w+)?)`", text)
    assert len(named) > 30
    file = Path()
    for name in named:
        place, _, function = name.partition("::")
        file = file if place == "…" else ROOT / place
        assert file.is_file(), name
        assert f"def {function}(" in file.read_text() or not function, name
