"""What a job prints becomes its log lines."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typing_extensions import override

from heimdall.domain.log_lines import lines_of, log_line
from heimdall.worker.files import AttemptFiles
from heimdall.worker.writer import Part

LINE_BYTES = 8 * 1024
LINES_A_SECOND = 1000
JOB_BYTES = 100 * 1024 * 1024
CHUNK_BYTES = 1 << 20
TAIL_BYTES = 256 * 1024


class LineSplitter:
    """Cuts a stream into lines of at most 8 KiB; of one rewritten with `\\r` (a progress bar) the last state counts."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False  # within a line whose first 8 KiB were given out

    @property
    def rest_bytes(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[str]:
        *complete, rest = (self._rest + data).split(b"\n")
        lines: list[str] = []
        for line in complete:
            if not self._is_skipping:
                lines.append(_last_state(line))
            self._is_skipping = False
        if self._is_skipping:
            rest = b""
        elif len(rest) > LINE_BYTES:
            rest = rest[rest.rfind(b"\r") + 1 :] if b"\r" in rest else rest
            if len(rest) > LINE_BYTES:
                lines.append(_last_state(rest))
                self._is_skipping, rest = True, b""
        self._rest = rest
        return lines

    def finish(self) -> list[str]:
        """The line that never ended, if there is one."""
        rest, self._rest = self._rest, b""
        return [_last_state(rest)] if rest else []


def _last_state(line: bytes) -> str:
    states = [state for state in line.split(b"\r") if state]
    return states[-1][:LINE_BYTES].decode("utf-8", "replace") if states else ""


class LineBudget:
    """1,000 lines a second and 100 MB a job; what goes beyond is counted and told of in one line."""

    def __init__(
        self,
        *,
        lines_a_second: int = LINES_A_SECOND,
        job_bytes: int = JOB_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines_a_second = lines_a_second
        self._bytes_left = job_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._second = clock()
        self._lines_left = lines_a_second
        self._num_dropped = 0

    @property
    def is_spent(self) -> bool:
        return self._bytes_left <= 0

    def admit(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self._lock:
            admitted = [*self._new_second(), *(line for line in lines if self._take(line))]
            if self.is_spent and not admitted:
                self._num_dropped = 0  # said once, when the budget ran out
            return admitted

    def _new_second(self) -> list[dict[str, Any]]:
        now = self._clock()
        if now - self._second < 1.0:
            return []
        self._second = now
        self._lines_left = self._lines_a_second
        if not self._num_dropped:
            return []
        dropped, self._num_dropped = self._num_dropped, 0
        return [log_line(f"{dropped} lines were dropped: more than {self._lines_a_second} in a second.", "WARNING")]

    def _take(self, line: dict[str, Any]) -> bool:
        if self.is_spent:
            return False
        if self._lines_left <= 0:
            self._num_dropped += 1
            return False
        self._lines_left -= 1
        self._bytes_left -= len(line["message"])
        if self.is_spent:
            line["message"] = "Further output is dropped: the job has printed all that is kept of one job."
            line["level"] = "WARNING"
        return True


class OutputFollower:
    """Reads what the process has printed since the last look."""

    def __init__(self, files: AttemptFiles, budget: LineBudget) -> None:
        self._path = files.output
        self._mark = files.mark
        self._budget = budget
        self._splitter = LineSplitter()
        self._read_to = 0

    def read(self, *, is_last: bool = False) -> Part | None:
        """New lines; once they are stored, the mark says how far they reach. A job run by hand prints elsewhere."""
        if not self._path.exists():
            return None
        lines: list[str] = []
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            while data := file.read(CHUNK_BYTES):
                self._read_to += len(data)
                lines += self._splitter.feed(data)
        if is_last:
            lines += self._splitter.finish()
        if self._budget.is_spent and self._read_to > CHUNK_BYTES:
            os.truncate(self._path, 0)  # nobody will read it, and a disk is not endless
            self._read_to = 0
        now = datetime.now(UTC)
        admitted = self._budget.admit([log_line(line, "INFO", now) for line in lines])
        if not admitted:
            return None
        reached = self._read_to - self._splitter.rest_bytes
        return Part(log_lines=admitted, after=lambda: self._set_mark(reached))

    def _set_mark(self, reached: int) -> None:
        with suppress(OSError):  # without it a crash at worst stores some lines twice
            self._mark.write_text(str(reached), "ascii")


def leftover_lines(files: AttemptFiles) -> list[dict[str, Any]]:
    """What a process printed and could not store any more before it ended, the newest 256 KiB of it."""
    try:
        size = files.output.stat().st_size
        with files.output.open("rb") as file:
            file.seek(max(_marked(files.mark), size - TAIL_BYTES))
            data = file.read()
    except FileNotFoundError:
        return []
    splitter = LineSplitter()
    return [log_line(line) for line in [*splitter.feed(data), *splitter.finish()]][-LINES_A_SECOND:]


def _marked(mark: Path) -> int:
    try:
        return int(mark.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return 0


class LogHandler(logging.Handler):
    """Python's logging keeps its level on the way into the job's log."""

    def __init__(self, submit: Callable[[Part], int], budget: LineBudget) -> None:
        super().__init__(logging.INFO)
        self._submit = submit
        self._budget = budget

    @override
    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC)
        lines = lines_of(self.format(record), record.levelname, moment)
        admitted = self._budget.admit(lines)
        if admitted:
            self._submit(Part(log_lines=admitted))


def flush_streams() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
