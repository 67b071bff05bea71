"""Artifacts in an object store: S3, Google Cloud Storage or Azure, by URL."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from heimdall.artifacts.copies import LocalCopies
from heimdall.artifacts.hashing import HashingWriter, file_sha256, write_hashed
from heimdall.artifacts.keys import checked_key
from heimdall.artifacts.objects import ObjectArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import (
    ArtifactNotFoundError,
    ArtifactsRefusedError,
    CheckpointDamagedError,
    ConflictError,
    UnavailableError,
)

PART_BYTES = 8 << 20
READ_TO_CHECK_BYTES = 256 << 20  # seconds, so that a request can wait for it


def open_object_store(url: str, *, retry_seconds: float = 15.0) -> ObjectStore:
    """The bucket behind `url`; credentials and endpoint come from the provider's usual environment variables.

    Requests that fail or hang are repeated with exponential back-off until `retry_seconds` are over. A job's process
    goes on asking after that; a request to the API fails with 503.
    """
    return from_url(
        url,
        client_options={
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=20),
            "timeout": timedelta(days=1),  # of a whole request: a large file on a slow line may take its time
            "allow_http": True,
        },
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
        self._copies = LocalCopies(cache, max_bytes=cache_bytes)

    def put(self, key: str, write: Callable[[BinaryIO], None]) -> StoredFile:
        """Stage on the local disk, upload in parts, read size and checksum back: only then it counts.

        The same bytes may be put again: an upload whose answer was lost has happened all the same.
        """
        checked_key(key)
        with tempfile.NamedTemporaryFile(dir=self._copies.staging) as file:
            size_bytes, sha256 = write_hashed(write, file)
            stored = StoredFile(key=key, size_bytes=size_bytes, sha256=sha256)
            if self.size(key) is not None:
                if self._remote_sha256(key) != stored.sha256:
                    raise ConflictError(f"The artifact key {key} is already written; keys are written once.")
                return stored
            with asking(f"the upload of {key}"):
                obstore.put(self._store, key, Path(file.name), chunk_size=PART_BYTES)
        if self._remote_sha256(key) != stored.sha256:
            self.delete([key])
            raise CheckpointDamagedError(f"The object store returned other bytes for {key} than were uploaded.")
        return stored

    def size(self, key: str) -> int | None:
        checked_key(key)
        with asking(f"the size of {key}"):
            try:
                return obstore.head(self._store, key)["size"]
            except FileNotFoundError:
                return None

    def is_intact(self, file: StoredFile) -> bool:
        """Whether it is there and matches its checksum; of one too large to be read meanwhile, whether its size does.

        Whoever loads a file checks its checksum anyway.
        """
        if self.size(file.key) != file.size_bytes:
            return False
        return file.size_bytes > READ_TO_CHECK_BYTES or self._remote_sha256(file.key) == file.sha256

    def fetch(self, file: StoredFile) -> Path:
        return self._copies.file(
            file.sha256,
            lambda target: self._download(file, target),
            is_intact=lambda copy: file_sha256(copy) == file.sha256,
        )

    def local_folder(self, prefix: str, files: Sequence[Mapping[str, Any]]) -> Path:
        digest = hashlib.sha256(json.dumps([prefix, list(files)], sort_keys=True).encode()).hexdigest()

        def download(folder: Path) -> None:
            for entry in files:
                key = f"{prefix}/{entry['name']}"
                stored = StoredFile(key=key, size_bytes=entry["size_bytes"], sha256=entry["sha256"])
                self._download(stored, folder / entry["name"])

        return self._copies.folder(digest, download)

    def keys(self, prefix: str) -> list[str]:
        with asking(f"the list of {prefix}"):
            return super().keys(prefix)

    def prefixes(self, below: str) -> list[str]:
        with asking(f"the list of {below or 'all jobs'}"):
            return super().prefixes(below)

    def aged(self, prefix: str, age: timedelta) -> dict[str, int]:
        with asking(f"the list of {prefix}"):
            return super().aged(prefix, age)

    def delete(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        with asking(f"the deletion of {keys[0]}"):
            try:
                obstore.delete(self._store, list(keys))
            except FileNotFoundError:  # some stores say so, and may have stopped at it
                for key in keys:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> int:
        keys = self.keys(prefix)
        self.delete(keys)
        return len(keys)

    def remove_partials(self, prefix: str) -> None:
        """Nothing: what was not uploaded whole is no object, and what was staged is swept with the local copies."""

    def _chunks(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        with asking(f"the bytes of {key}"):
            yield from super()._chunks(key, start, stop)

    def _remote_sha256(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self.read(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _download(self, file: StoredFile, target: Path) -> None:
        """Raises: CheckpointDamagedError, UnavailableError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as received:
            writer = HashingWriter(received)
            with suppress(ArtifactNotFoundError):  # an empty file does not match either
                for chunk in self.read(file.key):
                    writer.write(chunk)
        if writer.sha256() != file.sha256:
            raise CheckpointDamagedError(f"The file {file.key} is missing or does not match its checksum.")


@contextmanager
def asking(what: str) -> Generator[None]:
    """An object store that is away, or that says no, in our words.

    Raises:
        UnavailableError: it may answer later.
        ArtifactsRefusedError: it answers, and would say the same again.
    """
    try:
        yield
    except (FileNotFoundError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise ArtifactsRefusedError(
            f"The object store refuses {what}; check the bucket in HEIMDALL_ARTIFACTS_URL and the credentials: "
            f"{_reason(error)}."
        ) from error
    except exceptions.BaseError as error:
        raise UnavailableError(f"The object store does not give {what}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """The first line: the rest repeats request details."""
    return str(error).splitlines()[0][:200]
