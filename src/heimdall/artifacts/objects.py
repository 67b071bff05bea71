"""What all artifact stores share: reading and listing through obstore, and putting a file from disk."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import obstore
from obstore.store import ObjectStore

from heimdall.artifacts.keys import PARTIAL_SUFFIX, checked_key
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import ArtifactNotFoundError

CHUNK_BYTES = 1 << 20


class ObjectArtifacts(ABC):
    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @abstractmethod
    def size(self, key: str) -> int | None: ...

    @abstractmethod
    def put(self, key: str, write: Callable[[BinaryIO], None]) -> StoredFile: ...

    def put_file(self, key: str, path: Path) -> StoredFile:
        with path.open("rb") as source:
            return self.put(key, lambda target: shutil.copyfileobj(source, target, CHUNK_BYTES))

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        size = self.size(key)
        if size is None:
            raise ArtifactNotFoundError(key)
        stop = size if end is None else min(end, size)
        return self._chunks(key, start, stop) if start < stop else iter(())

    def _chunks(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        result = obstore.get(self._store, key, options={"range": (start, stop)})
        for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    def keys(self, prefix: str) -> list[str]:
        listed = obstore.list(self._store, prefix=checked_key(prefix), return_arrow=False)  # pyright: ignore[reportUnknownMemberType]
        found = [meta["path"] for chunk in listed for meta in chunk]
        return sorted(key for key in found if not key.endswith(PARTIAL_SUFFIX))
