"""Hashes what passes, so that a file is read only once."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO, cast

from typing_extensions import Buffer, override

BUFFER_BYTES = 1 << 16  # a checkpoint comes in thousands of small pieces, each of which would take the interpreter


def write_hashed(write: Callable[[BinaryIO], None], target: IO[bytes]) -> tuple[int, str]:
    """Let `write` fill `target`; size in bytes and sha256 of what came."""
    writer = HashingWriter(target)
    stream = io.BufferedWriter(writer, BUFFER_BYTES)
    try:
        write(cast("BinaryIO", stream))
        stream.flush()
    except BaseException:
        writer.is_abandoned = True
        raise
    target.flush()
    return writer.size_bytes, writer.sha256()


class HashingWriter(io.RawIOBase):
    """A write-only stream that forwards to `target` and knows size and sha256 of what passed."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.is_abandoned = False  # a buffer before it must not write its rest when it is collected

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Buffer, /) -> int:
        written = memoryview(data).nbytes
        if self.is_abandoned:
            return written
        self._target.write(data)
        self._hash.update(data)
        self.size_bytes += written
        return written

    @override
    def tell(self) -> int:
        return self.size_bytes

    def sha256(self) -> str:
        return self._hash.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
