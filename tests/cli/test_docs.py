"""The pages under docs/ are true: their examples run, their links lead somewhere, their tables are complete."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from heimdall.cli.app import COMMANDS
from heimdall.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def example_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page "Write a trainer", as the page has it."""
    spec, train, test = code_blocks(ROOT / "docs/how-to/write-a-trainer.md", "python")
    package = tmp_path / "my_trainers" / "descent"
    package.mkdir(parents=True)
    (package / "spec.py").write_text(spec)
    (package / "train.py").write_text(train)
    (package / "test_descent.py").write_text(test)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return package


def test_the_example_trainer_goes_on_exactly(example_trainer: Path, tmp_path: Path) -> None:
    import_module("my_trainers.descent.test_descent").test_pausing_changes_nothing(tmp_path)
    spec = import_module("my_trainers.descent.spec").SPEC
    assert spec.total_epochs(spec.config_model(epochs=7)) == 7
    for name in [name for name in sys.modules if name.startswith("my_trainers")]:
        del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_every_command_is_described() -> None:
    text = (ROOT / "docs/reference/command-line.md").read_text()
    assert not [name for name, _, _ in COMMANDS if not re.search(rf"`{name}\b", text)]


def test_every_setting_is_described() -> None:
    described = set(
        re.findall(r"^\| `HEIMDALL_(\w+)`", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    )
    assert described == {name.upper() for name in Settings.model_fields}


def test_architecture_is_short() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120
