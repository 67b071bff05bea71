"""How processes tell each other that something changed. Nothing depends on it: whoever waits also looks by itself."""

from collections.abc import Sequence
from typing import Protocol

from heimdall.domain.events import Event


class Wake(Protocol):
    """Says when to look. Never carries data that must not be lost."""

    @property
    def is_away(self) -> bool:
        """Nothing can be sent at the moment: jobs stay pending. Answers at once."""
        ...

    def send(self, job_id: str, task_id: str) -> None:
        """A job is queued. Raises BrokerUnavailableError when it cannot be sent within 2 s."""
        ...

    def wait(self, timeout: float) -> bool:
        """Block until a job may be ready (True) or the time is over."""
        ...

    def welcome(self, *, is_free: bool) -> None:
        """Whether a job could start here: a process that has no free slot leaves messages to others."""
        ...

    def close(self) -> None: ...


class ChangeSignal(Protocol):
    """Tells one API process that something was written to the database."""

    def poll(self) -> bool:
        """True when something may have changed since the last call. Microseconds."""
        ...

    def take_deleted(self) -> list[str]:
        """Jobs heard to be deleted since the last call, where the signal says so."""
        ...

    def close(self) -> None: ...


class Publisher(Protocol):
    """Tells others of stored events. Never blocks, never raises: the log in the database has them."""

    @property
    def num_failures(self) -> int:
        """Events that could not be published since the start."""
        ...

    def publish(self, events: Sequence[Event]) -> None: ...

    def close(self, seconds: float) -> None:
        """Wait at most `seconds` for what is under way."""
        ...
