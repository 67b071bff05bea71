"""The seam to the store of files. What it promises is tested by one contract suite against every implementation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from heimdall.domain.attempt import StoredFile


class ArtifactStore(Protocol):
    """Write-once keys. A key is `/`-separated, relative, without `.` or `..`."""

    def put(self, key: str, write: Callable[[BinaryIO], None]) -> StoredFile:
        """Write durably (fsync of file and folder), hashing on the way; visible only when complete."""
        ...

    def put_file(self, key: str, path: Path) -> StoredFile: ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Chunks of bytes [start, end). Raises: ArtifactNotFoundError."""
        ...

    def size(self, key: str) -> int | None:
        """None when there is no such key."""
        ...

    def is_intact(self, file: StoredFile) -> bool:
        """Whether the file is there and whole: by checksum on a local disk, by size on a remote store."""
        ...

    def fetch(self, file: StoredFile) -> Path:
        """A local path with the file's bytes, verified against its sha256 at each call.

        Raises: CheckpointDamagedError.
        """
        ...

    def local_folder(self, prefix: str, files: Sequence[Mapping[str, Any]]) -> Path:
        """A local folder with all of `files` ({name, size_bytes, sha256}) of the prefix, checked once per machine.

        Raises: CheckpointDamagedError.
        """
        ...

    def delete(self, keys: Sequence[str]) -> None: ...

    def delete_prefix(self, prefix: str) -> int: ...

    def keys(self, prefix: str) -> list[str]: ...

    def prefixes(self, below: str) -> list[str]:
        """The folders directly below a prefix ("" for the whole store), with the prefix."""
        ...

    def aged(self, prefix: str, age: timedelta) -> dict[str, int]:
        """Keys that are older than that by the store's own clock, half-written files included, with sizes in bytes."""
        ...

    def remove_partials(self, prefix: str) -> None:
        """Remove what killed writers left half written under `prefix`."""
        ...
