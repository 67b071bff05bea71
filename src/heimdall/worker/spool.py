"""A queue of batches that goes on on disk when it grows: the database may be away for long."""

import json
from collections import deque
from pathlib import Path

from pydantic import TypeAdapter

from heimdall.domain.attempt import Batch

IN_MEMORY = 64
BATCH = TypeAdapter(Batch)


class Spool:
    """First in, first out. Batches beyond the first few lie in `path`, one JSON line each."""

    def __init__(self, path: Path, *, in_memory: int = IN_MEMORY) -> None:
        self._path = path
        self._in_memory = in_memory
        self._memory: deque[Batch] = deque()
        self._read_at = 0
        self._num_on_disk = 0
        self.size_bytes = 0  # on disk

    def __len__(self) -> int:
        return len(self._memory) + self._num_on_disk

    def append(self, batch: Batch) -> None:
        if not self._num_on_disk and len(self._memory) < self._in_memory:
            self._memory.append(batch)
            return
        line = json.dumps(BATCH.dump_python(batch, mode="json")).encode() + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
        self._num_on_disk += 1
        self.size_bytes += len(line)

    def head(self) -> Batch:
        if not self._memory:
            self._load()
        return self._memory[0]

    def pop(self) -> None:
        self._memory.popleft()

    def _load(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_at)
            while self._num_on_disk and len(self._memory) < self._in_memory:
                self._memory.append(BATCH.validate_python(json.loads(file.readline())))
                self._num_on_disk -= 1
            self._read_at = file.tell()
        if not self._num_on_disk:
            self._path.unlink()
            self._read_at = self.size_bytes = 0
