"""For databases that tell nothing: look at a fixed pace."""

import time
from collections.abc import Callable


class PollingSignal:
    """The ChangeSignal port that says "maybe" once every `interval_seconds`."""

    def __init__(self, interval_seconds: float = 1.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._next_look = clock()

    def poll(self) -> bool:
        now = self._clock()
        if now < self._next_look:
            return False
        self._next_look = now + self._interval_seconds
        return True

    def take_deleted(self) -> list[str]:
        return []

    def close(self) -> None:
        pass
