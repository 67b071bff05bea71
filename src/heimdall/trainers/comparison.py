# pyright: reportUnknownMemberType=false
"""Whether two checkpoints hold the same training state, bit for bit."""

import filecmp
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from heimdall.trainers.checkpoint import HASHED_PARTS, load, sha256_of


def first_difference(ours: Path, recorded: Path) -> str | None:
    """The first tensor or value in which they differ, such as `model_state_dict/encoder.weight`; None when equal."""
    if filecmp.cmp(ours, recorded, shallow=False):  # also of a trainer whose files are not torch's
        return None
    first, second = load(ours), load(recorded)
    named = [part for part in HASHED_PARTS if part in first or part in second]
    for part in named or sorted({*first, *second}):  # a trainer with names of its own is compared whole
        left, right = dict(_leaves(part, first.get(part))), dict(_leaves(part, second.get(part)))
        for name in [*left, *(name for name in right if name not in left)]:
            if name not in left or name not in right or sha256_of(left[name]) != sha256_of(right[name]):
                return name
    return None


def first_different_part(ours: Path, recorded_sha256: Mapping[str, str]) -> str | None:
    """As `first_difference`, for a checkpoint of which only the manifest is left: names the part."""
    content = load(ours)
    return next((part for part in HASHED_PARTS if sha256_of(content.get(part)) != recorded_sha256.get(part)), None)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[Any, Any]", value).items():
            yield from _leaves(f"{name}/{key}", item)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(cast("list[Any]", value)):
            yield from _leaves(f"{name}/{position}", item)
    else:
        yield name, value
