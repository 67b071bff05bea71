"""Artifacts in an object store: S3, Google Cloud Storage or Azure, by URL."""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import obstore
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from heimdall.artifacts.hashing import HashingWriter, file_sha256
from heimdall.artifacts.keys import checked_key
from heimdall.artifacts.objects import ObjectArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import ArtifactNotFoundError, CheckpointDamagedError, ConflictError, UnavailableError

PART_BYTES = 8 << 20


def open_object_store(url: str, *, retry_seconds: float = 180.0) -> ObjectStore:
    """The bucket behind `url`; credentials and endpoint come from the provider's usual environment variables.

    Requests that fail or hang are repeated with exponential back-off until `retry_seconds` are over.
    """
    return from_url(
        url,
        client_options={"timeout": timedelta(seconds=20), "connect_timeout": timedelta(seconds=5), "allow_http": True},
        retry_config={
            "max_retries": 30,
            "retry_timeout": timedelta(seconds=retry_seconds),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    )


class RemoteArtifacts(ObjectArtifacts):
    """The ArtifactStore port on an object store, with a bounded folder of local copies."""

    def __init__(self, store: ObjectStore, *, cache: Path, cache_bytes: int = 20 << 30) -> None:
        super().__init__(store)
        self._staging = cache / "staging"
        self._copies = cache / "objects"
        self._folders = cache / "folders"
        for folder in (self._staging, self._copies, self._folders):
            folder.mkdir(parents=True, exist_ok=True)
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()

    def put(self, key: str, write: Callable[[BinaryIO], None]) -> StoredFile:
        """Stage on the local disk, upload in parts, read size and checksum back: only then it counts."""
        checked_key(key)
        if self.size(key) is not None:
            raise ConflictError(f"The artifact key {key} is already written; keys are written once.")
        with tempfile.NamedTemporaryFile(dir=self._staging) as file:
            writer = HashingWriter(file)
            write(cast("BinaryIO", writer))
            file.flush()
            stored = StoredFile(key=key, size_bytes=writer.size_bytes, sha256=writer.sha256())
            try:
                obstore.put(self._store, key, Path(file.name), chunk_size=PART_BYTES)
            except exceptions.BaseError as error:
                raise UnavailableError(f"The object store did not take {key}: {_reason(error)}.") from error
        if self._remote_sha256(key) != stored.sha256:
            obstore.delete(self._store, key)
            raise CheckpointDamagedError(f"The object store returned other bytes for {key} than were uploaded.")
        return stored

    def size(self, key: str) -> int | None:
        try:
            return obstore.head(self._store, checked_key(key))["size"]
        except FileNotFoundError:
            return None
        except exceptions.BaseError as error:
            raise UnavailableError(f"The object store does not answer: {_reason(error)}.") from error

    def is_intact(self, file: StoredFile) -> bool:
        """Presence and size; whoever loads the file checks its checksum."""
        return self.size(file.key) == file.size_bytes

    def fetch(self, file: StoredFile) -> Path:
        copy = self._copies / file.sha256
        if copy.is_file() and file_sha256(copy) == file.sha256:
            os.utime(copy)
            return copy
        self._download(file, copy)
        self._evict(keep=copy)
        return copy

    def local_folder(self, prefix: str, files: Sequence[Mapping[str, Any]]) -> Path:
        digest = hashlib.sha256(json.dumps([prefix, list(files)], sort_keys=True).encode()).hexdigest()
        folder = self._folders / digest
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=self._staging) as staged:
            for entry in files:
                stored = StoredFile(
                    key=f"{prefix}/{entry['name']}", size_bytes=entry["size_bytes"], sha256=entry["sha256"]
                )
                self._download(stored, Path(staged) / entry["name"])
            with self._lock:
                if not folder.is_dir():
                    shutil.copytree(staged, folder.with_suffix(".partial"), dirs_exist_ok=True)
                    folder.with_suffix(".partial").rename(folder)
        return folder

    def delete(self, keys: Sequence[str]) -> None:
        if keys:
            obstore.delete(self._store, list(keys))

    def delete_prefix(self, prefix: str) -> int:
        keys = self.keys(prefix)
        self.delete(keys)
        return len(keys)

    def _remote_sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self.read(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _download(self, file: StoredFile, target: Path) -> None:
        """Raises: CheckpointDamagedError, UnavailableError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial:
            writer = HashingWriter(partial)
            try:
                for chunk in self.read(file.key):
                    writer.write(chunk)
            except ArtifactNotFoundError:
                pass  # an empty file does not match either
            except exceptions.BaseError as error:
                Path(partial.name).unlink()
                raise UnavailableError(f"The object store broke off {file.key}: {_reason(error)}.") from error
        if writer.sha256() != file.sha256:
            Path(partial.name).unlink()
            raise CheckpointDamagedError(f"The file {file.key} is missing or does not match its checksum.")
        Path(partial.name).rename(target)

    def _evict(self, *, keep: Path) -> None:
        """Remove the copies used longest ago until the folder fits its bound."""
        with self._lock:
            copies = sorted(self._copies.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            total = 0
            for copy in copies:
                total += copy.stat().st_size
                if total > self._cache_bytes and copy != keep:
                    copy.unlink(missing_ok=True)


def _reason(error: exceptions.BaseError) -> str:
    """The first line: the rest repeats request details."""
    return str(error).splitlines()[0][:200]
