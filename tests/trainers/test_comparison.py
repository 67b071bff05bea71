"""Which checkpoints count as the same."""

from pathlib import Path
from typing import Any

import pytest
import torch

from heimdall.trainers.comparison import first_difference


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)  # pyright: ignore[reportUnknownMemberType]
    return path


def test_a_checkpoint_with_names_of_its_own_is_compared_whole(tmp_path: Path) -> None:
    """None of its parts has a name of ours; it must not pass for identical because there is nothing to compare."""
    ours = saved(tmp_path / "ours", {"weights": {"w": torch.zeros(2)}, "step": 3})
    other = saved(tmp_path / "other", {"weights": {"w": torch.ones(2)}, "step": 3})
    assert first_difference(ours, other) == "weights/w"


@pytest.mark.parametrize("content", [b'{"w": 1}', b""])
def test_files_of_any_format_with_the_same_bytes_are_identical(tmp_path: Path, content: bytes) -> None:
    for name in ("ours", "other"):
        (tmp_path / name).write_bytes(content)
    assert first_difference(tmp_path / "ours", tmp_path / "other") is None
