"""Artifacts in a folder of this machine (or one that all machines mount)."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore.store import LocalStore
from typing_extensions import override

from heimdall.artifacts.hashing import file_sha256, write_hashed
from heimdall.artifacts.keys import PARTIAL_SUFFIX, checked_key
from heimdall.artifacts.objects import ObjectArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import BadPathError, CheckpointDamagedError, ConflictError, UnavailableError


class LocalArtifacts(ObjectArtifacts):
    """The ArtifactStore port on a local folder.

    Writing is ours because obstore does not fsync; reading, listing and deleting are obstore's.
    """

    def __init__(self, root: Path, *, cache: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._checked = cache / "checked"
        super().__init__(LocalStore(self._root, automatic_cleanup=True))

    def put(self, key: str, write: Callable[[BinaryIO], None]) -> StoredFile:
        path = self._root / checked_key(key)
        if path.exists():
            raise _written(key)
        created = _make_folders(path.parent)
        partial = path.parent / f".{path.name}.{uuid.uuid4().hex}{PARTIAL_SUFFIX}"
        try:
            with partial.open("wb") as file:
                size_bytes, sha256 = write_hashed(write, file)
                os.fsync(file.fileno())
            _name(partial, path)
        except FileExistsError:
            raise _written(key) from None
        finally:
            partial.unlink(missing_ok=True)
        for folder in (path.parent, *(made.parent for made in created)):
            _sync_folder(folder)
        return StoredFile(key=key, size_bytes=size_bytes, sha256=sha256)

    @override
    def keys(self, prefix: str) -> list[str]:
        """Raises: UnavailableError, when the folder is gone: of a missing one nothing would be listed."""
        if not self._root.is_dir():
            raise UnavailableError("The folder of artifacts is gone; mount it again or put it back.")
        return super().keys(prefix)

    def size(self, key: str) -> int | None:
        path = self._path(key)
        return path.stat().st_size if path.is_file() else None

    def is_intact(self, file: StoredFile) -> bool:
        """Whether the file is there and matches its checksum."""
        path = self._path(file.key)
        return path.is_file() and path.stat().st_size == file.size_bytes and file_sha256(path) == file.sha256

    def fetch(self, file: StoredFile) -> Path:
        if not self.is_intact(file):
            raise CheckpointDamagedError(f"The file {file.key} is missing or does not match its checksum.")
        return self._path(file.key)

    def local_folder(self, prefix: str, files: Sequence[Mapping[str, Any]]) -> Path:
        digest = hashlib.sha256(json.dumps([prefix, list(files)], sort_keys=True).encode()).hexdigest()
        marker = self._checked / digest
        for entry in files:
            stored = StoredFile(key=f"{prefix}/{entry['name']}", size_bytes=entry["size_bytes"], sha256=entry["sha256"])
            if not (self.size(stored.key) == stored.size_bytes if marker.exists() else self.is_intact(stored)):
                raise CheckpointDamagedError(f"The file {stored.key} is missing or does not match its checksum.")
        self._checked.mkdir(parents=True, exist_ok=True)
        marker.touch()
        return self._path(prefix)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self.size(key) is not None:
                obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> int:
        num_keys = len(self.keys(prefix))
        # Everything below goes, files still being written by a worker that lost its lease included.
        path = self._path(prefix)
        shutil.rmtree(path, ignore_errors=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(path)  # says why, when something is left
        return num_keys

    def remove_partials(self, prefix: str) -> None:
        for partial in self._path(prefix).rglob(f"*{PARTIAL_SUFFIX}"):
            partial.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        """The file of `key`; a symlink that leads out of its job's folder is refused."""
        path = self._root / checked_key(key)
        if not path.resolve().is_relative_to(self._root / Path(key).parts[0]):
            raise BadPathError("The path leaves its folder; use the names that the artifact list shows.")
        return path


def _written(key: str) -> ConflictError:
    return ConflictError(f"The artifact key {key} is already written; keys are written once.")


def _name(partial: Path, path: Path) -> None:
    """Give a whole file its name. Raises: FileExistsError when another writer was faster."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        partial.rename(path)


def _make_folders(folder: Path) -> list[Path]:
    """Create `folder` and its parents; those that were missing."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
