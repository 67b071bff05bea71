"""A store behind a slow line."""

from threading import Event
from typing import Any


class Slow:
    """The real store; each answer is on its way for `seconds`, and as old as that when it comes."""

    def __init__(self, store: Any, seconds: float) -> None:
        self._store = store
        self.seconds = seconds

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        def slowly(*args: Any) -> Any:
            answer = call(*args)
            Event().wait(self.seconds)
            return answer

        return slowly
