"""Follows one job's event log over server-sent events, across broken connections."""

import json
import time
from collections.abc import Callable, Generator, Sequence

from heimdall.client.errors import ServerUnreachableError
from heimdall.client.shapes import Event
from heimdall.client.transport import Transport
from heimdall.domain.errors import HeimdallError, UnavailableError
from heimdall.domain.events import EventName

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 3.0


def follow(
    transport: Transport,
    path: str,
    *,
    after: int,
    types: Sequence[str] | None,
    patience_seconds: float,
    on_connection: Callable[[float | None], None] | None = None,
) -> Generator[Event]:
    """See `RecordRoutes.follow`."""
    # The server answers 204 when the last number seen is the log's last. That is a completed event, so it is
    # always asked for, and held back from a caller who does not want it.
    names = None if types is None else ",".join({*types, EventName.COMPLETED.value})
    seq = after
    patience = _Patience(patience_seconds, on_connection or (lambda seconds_left: None))
    while True:
        try:
            with transport.listening(path, after=seq, types=names) as messages:
                if messages is None:
                    return
                patience.answered()
                for message in messages:
                    if not message.data:  # the server's word on how soon to come back
                        continue
                    event: Event = json.loads(message.data)
                    seq = event.get("seq") or seq  # training:deleted has no number
                    patience.refill()
                    if types is None or event["event"] in types:
                        yield event
                    if event["event"] == EventName.DELETED:
                        return
        except (ServerUnreachableError, UnavailableError) as error:
            patience.failed(error)
        patience.wait()


class _Patience:
    """How long to wait before the next try, and when to give up."""

    def __init__(self, limit_seconds: float, on_connection: Callable[[float | None], None]) -> None:
        self._limit_seconds = limit_seconds
        self._on_connection = on_connection
        self._failing_since: float | None = None
        self._wait_seconds = 0.0

    def answered(self) -> None:
        if self._failing_since is not None:
            self._failing_since = None
            self._on_connection(None)

    def refill(self) -> None:
        self._wait_seconds = 0.0

    def failed(self, error: HeimdallError) -> None:
        """Raises the error when the limit is over."""
        now = time.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        left_seconds = self._failing_since + self._limit_seconds - now
        if left_seconds <= 0:
            raise error
        self._on_connection(left_seconds)

    def wait(self) -> None:
        time.sleep(self._wait_seconds)
        self._wait_seconds = min(max(2 * self._wait_seconds, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
