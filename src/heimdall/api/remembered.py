"""A slow answer that many may share."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class Remembered(Generic[T]):
    """What `read` answers. However many ask at once, one thread reads, and none of the routes' threads."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._found: tuple[T] | None = None
        self.read_at = 0.0  # monotonic, when the reading began
        self._failure: tuple[float, Exception] | None = None  # when it ended
        self._turn = anyio.Lock()
        self._limiter = anyio.CapacityLimiter(1)  # of its own: slow routes must not delay it

    async def since(self, moment: float) -> T:
        """As it was at this monotonic time or later. Raises what `read` raises, to all who waited for it."""
        if self._found is not None and self.read_at >= moment:
            return self._found[0]
        asked_at = time.monotonic()
        async with self._turn:
            if self._found is not None and self.read_at >= moment:
                return self._found[0]
            if self._failure is not None and self._failure[0] >= asked_at:
                raise self._failure[1].with_traceback(None)
            started_at = time.monotonic()
            try:
                found = await anyio.to_thread.run_sync(self._read, limiter=self._limiter)
            except Exception as error:
                self._failure = time.monotonic(), error
                raise
            self._found, self.read_at = (found,), started_at
            return found
