# pyright: reportUnknownMemberType=false
"""A checkpoint: everything an attempt needs to go on, as plain values and tensors."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from heimdall.domain.errors import CheckpointDamagedError

HASHED_PARTS = ("model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "scaler_state_dict", "metrics")


class Snapshot:
    """A checkpoint's content, owned by itself, so that it can be written while the next epoch trains.

    `manifest` gets the sha256 of every part when the file is written: hashing is left to the writing thread.
    """

    def __init__(self, content: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        self.content = owned_copy(content)
        self.manifest: dict[str, Any] = dict(manifest)

    def write(self, file: BinaryIO) -> None:
        self.manifest["sha256"] = {name: sha256_of(self.content[name]) for name in HASHED_PARTS}
        torch.save({**self.content, "manifest": self.manifest}, file)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint's file. Loading never runs code.

    Raises:
        CheckpointDamagedError: it cannot be read.
    """
    try:
        return cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointDamagedError(f"The checkpoint {path.name} cannot be read: {error}") from error


def owned_copy(value: Any) -> Any:
    """A deep copy of nested dicts, lists and plain values, with every tensor copied to the host."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {key: owned_copy(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [owned_copy(item) for item in cast(list[Any], value)]
    return value


def sha256_of(value: Any) -> str:
    """Digest of nested dicts, lists, plain values and tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    _feed(digest, "", value)
    return digest.hexdigest()


def _feed(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}\n".encode())
        octets: Any = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(octets)
    elif isinstance(value, Mapping):
        mapping = cast(Mapping[Any, Any], value)
        for key in sorted(mapping, key=str):
            _feed(digest, f"{name}/{key}", mapping[key])
    elif isinstance(value, list | tuple):
        for position, item in enumerate(cast(list[Any], value)):
            _feed(digest, f"{name}/{position}", item)
    else:
        digest.update(f"{name}={value!r}\n".encode())
