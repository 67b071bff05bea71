"""How much of what a job prints and logs is kept."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from heimdall.domain.log_lines import log_line

LINES_A_SECOND = 1000
JOB_BYTES = 100 * 1024 * 1024
SPENT = "Further output is dropped but for its last lines: the job has printed all that is kept of one job."


class LineBudget:
    """1,000 lines a second, and lines of the first 100 MB that an attempt prints, whether they are kept or not.

    What goes beyond is dropped but for its newest lines, a tenth of a second's: they are kept back and given out
    with a notice once the second is over, or, when the 100 MB are spent, at the end. They tell why a job failed.
    """

    def __init__(
        self,
        *,
        lines_a_second: int = LINES_A_SECOND,
        job_bytes: int = JOB_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_tail = max(1, lines_a_second // 10)
        self._num_at_once = max(1, lines_a_second - self._num_tail)
        self._lines_a_second = lines_a_second
        self._job_bytes = job_bytes
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may log in the middle of it
        self._second = clock()
        self._lines_left = self._num_at_once
        self._tail: deque[dict[str, Any]] = deque()
        self._num_dropped = 0
        self._bytes_dropped = 0  # beside those of lines
        self._has_said_spent = False
        self.num_bytes = 0  # printed so far

    @property
    def is_spent(self) -> bool:
        return self.num_bytes >= self._job_bytes

    @property
    def holds_lines(self) -> bool:
        """Whether lines that were handed over are neither given out nor dropped yet."""
        return bool(self._tail)

    def admit(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What to store now: of these lines, and of those kept back before."""
        with self._lock:
            admitted = self._new_second()
            for line in lines:
                admitted += self._take(line)
            return admitted

    def count(self, num_bytes: int, *, is_announced: bool) -> None:
        """Output that no line holds. It is part of the notice unless a line says so already."""
        with self._lock:
            self.num_bytes += num_bytes
            self._bytes_dropped += num_bytes if is_announced else 0

    def drop(self, lines: list[str]) -> None:
        """Count lines that are not worth an `admit`: they came between more lines than a second has."""
        with self._lock:
            self._num_dropped += len(self._tail) + len(lines)
            self._tail.clear()
            self.num_bytes += sum(map(len, lines)) + len(lines)

    def finish(self) -> list[dict[str, Any]]:
        """The notice of what was dropped, and the lines kept back."""
        with self._lock:
            notice, tail = self._notice(), list(self._tail)
            self._tail.clear()
            return [*notice, *tail]

    def _new_second(self) -> list[dict[str, Any]]:
        now = self._clock()
        if now - self._second < 1.0:
            return []
        self._second = now
        self._lines_left = self._num_at_once
        return [] if self.is_spent else self.finish()

    def _take(self, line: dict[str, Any]) -> list[dict[str, Any]]:
        self.num_bytes += len(line["message"]) + 1
        if not self.is_spent and self._lines_left > 0:
            self._lines_left -= 1
            return [line]
        self._tail.append(line)
        if len(self._tail) > self._num_tail:
            self._tail.popleft()
            self._num_dropped += 1
        return self._say_spent()

    def _say_spent(self) -> list[dict[str, Any]]:
        if self._has_said_spent or not self.is_spent:
            return []
        self._has_said_spent = True
        return [log_line(SPENT, "WARNING")]

    def _notice(self) -> list[dict[str, Any]]:
        lines, self._num_dropped = self._num_dropped, 0
        num_bytes, self._bytes_dropped = self._bytes_dropped, 0
        dropped = [f"{lines:,} lines"] if lines else []
        dropped += [f"{num_bytes:,} bytes"] if num_bytes else []
        if not dropped:
            return []
        why = "all that is kept of one job" if self.is_spent else f"{self._lines_a_second:,} lines in a second"
        return [log_line(f"{' and '.join(dropped)} were dropped here: the job printed more than {why}.", "WARNING")]
