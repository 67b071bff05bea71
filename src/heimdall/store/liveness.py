"""Which workers live, judged by their counters on this process's own monotonic clock: no two clocks are compared."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SILENCE_SECONDS = 30.0  # ten announcements: a worker whose counter stood still for so long counts as gone
GAP_SECONDS = 5.0
GRACE_SECONDS = 6.0  # two announcements


@dataclass(frozen=True, slots=True)
class _Heard:
    counter: int
    at: float  # monotonic


class Liveness:
    """A worker that is seen for the first time counts as live until it was watched for `SILENCE_SECONDS`.

    After a gap in watching (the database was away, the machine slept) each has `GRACE_SECONDS` to be heard again.
    May be asked from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[str, _Heard] = {}
        self._asked_at = clock()

    def live(self, counters: Mapping[str, int]) -> set[str]:
        """Names of the live ones among all that have announced themselves, given with their counters as they are."""
        with self._lock:
            now = self._clock()
            earliest = now - SILENCE_SECONDS + GRACE_SECONDS if now - self._asked_at > GAP_SECONDS else 0.0
            self._asked_at = now
            self._heard = {name: self._newest(name, counter, now, earliest) for name, counter in counters.items()}
            return {name for name, heard in self._heard.items() if now - heard.at < SILENCE_SECONDS}

    def _newest(self, name: str, counter: int, now: float, earliest: float) -> _Heard:
        before = self._heard.get(name)
        if before is None or before.counter != counter:
            return _Heard(counter, now)
        return _Heard(counter, max(before.at, earliest))
