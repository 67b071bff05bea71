"""What a job prints becomes its log lines."""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from heimdall.domain.log_lines import log_line
from heimdall.worker.files import AttemptFiles
from heimdall.worker.freed_space import free_range
from heimdall.worker.line_budget import LINES_A_SECOND, LineBudget
from heimdall.worker.line_splitter import LineSplitter
from heimdall.worker.writer import Part

CHUNK_BYTES = 1 << 20
TAIL_BYTES = 256 * 1024
AT_ONCE_BYTES = 4 * CHUNK_BYTES  # more than what is kept of a second


class OutputFollower:
    """Reads what the process has printed since the last time, and frees the disk of what was read."""

    def __init__(self, files: AttemptFiles, budget: LineBudget) -> None:
        self._path = files.output
        self._mark = files.mark
        self._budget = budget
        self._splitter = LineSplitter()
        self._read_to = 0
        self._stored_to = 0
        self._freed_to = 0

    def read(self, *, is_last: bool = False) -> Part | None:
        """New lines; once they are stored, the mark says how far they reach. A job run by hand prints elsewhere."""
        lines = self._new_lines() if self._path.exists() else []
        if is_last:
            lines += self._splitter.finish()
        self._budget.count(self._splitter.skipped_bytes, is_announced=False)
        self._splitter.skipped_bytes = 0
        now = datetime.now(UTC)
        first, last = lines, list[str]()
        if len(lines) > 2 * LINES_A_SECOND:  # those between are dropped anyway
            first, last = lines[:LINES_A_SECOND], lines[-LINES_A_SECOND:]
        admitted = self._budget.admit([log_line(line, "INFO", now) for line in first])
        if last:
            self._budget.drop(lines[LINES_A_SECOND:-LINES_A_SECOND])
            admitted += self._budget.admit([log_line(line, "INFO", now) for line in last])
        if is_last:
            admitted += self._budget.finish()
        self._free()
        return Part(log_lines=admitted, after=self._when_stored()) if admitted else None

    def _new_lines(self) -> list[str]:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            at_once = TAIL_BYTES if self._budget.is_spent else AT_ONCE_BYTES
            lines = self._read_until(file, min(size, self._read_to + at_once))
            num_passed = size - at_once - self._read_to
            if num_passed > 0:  # it prints faster than anyone could read
                lines += self._splitter.finish()
                self._read_to += num_passed
                self._budget.count(num_passed, is_announced=True)
            return lines + self._read_until(file, size)

    def _read_until(self, file: BinaryIO, end: int) -> list[str]:
        file.seek(self._read_to)
        lines: list[str] = []
        while data := file.read(min(CHUNK_BYTES, max(0, end - self._read_to))):
            self._read_to += len(data)
            lines += self._splitter.feed(data)
        return lines

    def _free(self) -> None:
        """Give the disk back what was read and stored, and all but the newest of what was only read."""
        end = max(self._stored_to, self._read_to - AT_ONCE_BYTES)
        if end - self._freed_to < CHUNK_BYTES:
            return
        if free_range(self._path, self._freed_to, end):
            self._freed_to = end
        elif self._read_to > AT_ONCE_BYTES:  # no file system for holes: what is printed at this moment may be lost
            os.truncate(self._path, 0)
            self._read_to = self._stored_to = self._freed_to = 0

    def _when_stored(self) -> Callable[[], None] | None:
        """Sets the mark, unless lines before it are kept back: after a crash some lines twice are better than none."""
        if self._budget.holds_lines:
            return None
        reached = self._read_to - self._splitter.rest_bytes

        def set_mark() -> None:
            self._stored_to = reached
            with suppress(OSError):
                self._mark.write_text(str(reached), "ascii")

        return set_mark


def leftover_lines(files: AttemptFiles) -> list[dict[str, Any]]:
    """What a process printed and could not store any more before it ended, the newest 256 KiB of it."""
    try:
        size = files.output.stat().st_size
        marked = _marked(files.mark)
        with files.output.open("rb") as file:
            file.seek(max(marked if marked <= size else 0, size - TAIL_BYTES))
            data = file.read().lstrip(b"\0")  # of a part that was freed
    except FileNotFoundError:
        return []
    splitter = LineSplitter()
    return [log_line(line) for line in [*splitter.feed(data), *splitter.finish()]][-LINES_A_SECOND:]


def _marked(mark: Path) -> int:
    try:
        return int(mark.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return 0
