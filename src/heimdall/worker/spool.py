"""A queue of batches that continues on disk when it grows: the database may be away for long, and the disk full."""

import json
import os
from collections import deque
from pathlib import Path

from pydantic import TypeAdapter

from heimdall.domain.attempt import Batch

IN_MEMORY = 64
BATCH = TypeAdapter(Batch)


class Spool:
    """First in, first out. Batches beyond the first few lie in `path`, one JSON line each.

    What the disk does not take stays in memory until it does; `late_bytes` says how much that is.
    """

    def __init__(self, path: Path, *, in_memory: int = IN_MEMORY) -> None:
        self._path = path
        self._in_memory = in_memory
        self._memory: deque[Batch] = deque()
        self._late: deque[bytes] = deque()  # lines for the disk, after those that are there
        self._read_at = 0
        self._num_on_disk = 0
        self._disk_bytes = 0
        self.late_bytes = 0

    def __len__(self) -> int:
        return len(self._memory) + self._num_on_disk + len(self._late)

    @property
    def size_bytes(self) -> int:
        """Of what is beyond the first few batches."""
        return self._disk_bytes + self.late_bytes

    def append(self, batch: Batch) -> None:
        if len(self) == len(self._memory) < self._in_memory:
            self._memory.append(batch)
            return
        line = json.dumps(BATCH.dump_python(batch, mode="json")).encode() + b"\n"
        self._late.append(line)
        self.late_bytes += len(line)
        while self._late and self._write(self._late[0]):
            self.late_bytes -= len(self._late.popleft())

    def _write(self, line: bytes) -> bool:
        """Whether the disk took it. Half a line that a full disk took is written over by the next try."""
        try:
            with open(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:  # noqa: PTH123
                file.seek(self._disk_bytes)
                file.write(line)
        except OSError:
            return False
        self._disk_bytes += len(line)
        self._num_on_disk += 1
        return True

    def head(self) -> Batch:
        if not self._memory:
            self._load()
        return self._memory[0]

    def pop(self) -> None:
        self._memory.popleft()

    def _load(self) -> None:
        if self._num_on_disk:
            self._load_from_disk()
        while self._late and not self._num_on_disk and len(self._memory) < self._in_memory:
            line = self._late.popleft()
            self.late_bytes -= len(line)
            self._memory.append(BATCH.validate_python(json.loads(line)))

    def _load_from_disk(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_at)
            while self._num_on_disk and len(self._memory) < self._in_memory:
                self._memory.append(BATCH.validate_python(json.loads(file.readline())))
                self._num_on_disk -= 1
            self._read_at = file.tell()
        if not self._num_on_disk:
            self._path.unlink()
            self._read_at = self._disk_bytes = 0
