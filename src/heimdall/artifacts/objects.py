"""What all artifact stores share: reading and listing through obstore, and putting a file from disk."""

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
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

    def prefixes(self, below: str) -> list[str]:
        prefix = checked_key(below) if below else None
        listed = obstore.list_with_delimiter(self._store, prefix=prefix, return_arrow=False)  # pyright: ignore[reportUnknownMemberType]
        return sorted(listed["common_prefixes"])

    def aged(self, prefix: str, age: timedelta) -> dict[str, int]:
        newest = self._now() - age
        listed = obstore.list(self._store, prefix=checked_key(prefix), return_arrow=False)  # pyright: ignore[reportUnknownMemberType]
        metas = [meta for chunk in listed for meta in chunk]
        return {meta["path"]: meta["size"] for meta in metas if meta["last_modified"] <= newest}

    def _now(self) -> datetime:
        """What the store's clock says: it may differ from this machine's."""
        key = f"clock/{uuid.uuid4().hex}"
        obstore.put(self._store, key, b"")
        try:
            return obstore.head(self._store, key)["last_modified"]
        finally:
            obstore.delete(self._store, key)
