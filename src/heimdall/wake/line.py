"""A connection to the message broker on a thread of its own: a broker that hangs holds up nobody else."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from kombu.connection import Connection
from kombu.exceptions import KombuError

from heimdall.domain.errors import BrokerUnavailableError

Work = Callable[[Any], None]  # is given an open channel in confirm mode

LOOK_SECONDS = 1.0
CONNECT_SECONDS = 1
CONFIRM_SECONDS = 1.5
HEARTBEAT_SECONDS = 10
FAILURES = (OSError, AMQPError, KombuError, MessageNacked)
logger = logging.getLogger(__name__)


def ignore_channel(channel: Any) -> None:
    """Nothing to prepare."""


def describe_broker(url: str) -> str:
    """Kind and version of the broker, and where it is. Raises: BrokerUnavailableError."""
    address = Connection(url, connect_timeout=CONNECT_SECONDS)
    try:
        opened: Any = address.ensure_connection(max_retries=0).connection
    except FAILURES as error:
        raise BrokerUnavailableError(f"The message broker {address.as_uri()} cannot be used: {error}.") from error
    finally:
        address.release()
    properties: dict[str, str] = opened.server_properties
    return f"{properties['product']} {properties['version']}, {address.as_uri()}"


class BrokerLine:
    """Does what it is told in order. While nothing is to be done it looks every second whether the broker is there.

    `opened` prepares each new channel; `pauses` are the waits before each further try of a piece of work that failed.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        *,
        opened: Work = ignore_channel,
        pauses: Sequence[float] = (0.0,),
        capacity: int = 1000,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._opened = opened
        self._pauses = pauses
        self._queue = Queue[tuple[Work, Future[None]] | None](capacity)
        self._closing = threading.Event()
        self._is_away = False
        self._connection: Any = None
        self._channel: Any = None
        self._thread = threading.Thread(target=self._run, name=f"broker-{purpose}", daemon=True)
        self._thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the last that was tried failed."""
        return self._is_away

    def submit(self, work: Work) -> Future[None]:
        """Fails with BrokerUnavailableError when all tries did, or at once when too much is waiting."""
        done = Future[None]()
        try:
            self._queue.put_nowait((work, done))
        except Full:
            done.set_exception(BrokerUnavailableError("The message broker takes nothing; too much waits for it."))
        return done

    def close(self, seconds: float = 2.0) -> None:
        """Finish what waits, for at most `seconds`; nothing is tried a second time."""
        self._closing.set()
        try:
            self._queue.put_nowait(None)
        except Full:
            self._drop_waiting()
            self._queue.put_nowait(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            try:
                task = self._queue.get(timeout=LOOK_SECONDS)
            except Empty:
                self._do(self._listen)
                continue
            if task is None:
                break
            work, done = task
            if done.set_running_or_notify_cancel():
                error = self._do(work)
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)
        self._hang_up()

    def _do(self, work: Work) -> Exception | None:
        """How it failed, or None."""
        try:
            self._try(work)
        except FAILURES as error:
            if not self._is_away:
                shown = Connection(self._url).as_uri()
                logger.warning(
                    "The message broker %s is away for %s; it is asked every second: %s", shown, self._purpose, error
                )
            self._is_away = True
            return BrokerUnavailableError("The message broker cannot be reached; try again later.")
        except Exception as error:  # noqa: BLE001 - told to whoever asked for it
            return error
        if self._is_away:
            logger.info("The message broker is back for %s", self._purpose)
        self._is_away = False
        return None

    def _try(self, work: Work) -> None:
        for pause in (*self._pauses, None):
            try:
                if self._channel is None:
                    self._connect()
                work(self._channel)
            except FAILURES:
                self._hang_up()
                if pause is None or self._closing.wait(pause):
                    raise
            else:
                return

    def _connect(self) -> None:
        options = {"confirm_publish": True, "write_timeout": CONFIRM_SECONDS}
        address = Connection(
            self._url, connect_timeout=CONNECT_SECONDS, heartbeat=HEARTBEAT_SECONDS, transport_options=options
        )
        # Without kombu's own retries, which would wait for as long as the broker is away.
        self._connection = address.ensure_connection(max_retries=0).connection
        self._channel = self._connection.channel()
        self._opened(self._channel)

    def _listen(self, channel: Any) -> None:
        """Notice that the broker closed the connection or fell silent. Without news this takes a millisecond."""
        try:
            self._connection.heartbeat_tick()
            self._connection.drain_events(timeout=0.001)
        except TimeoutError:
            return

    def _hang_up(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.collect()  # closes the socket without a word, which a broker that hangs would not answer

    def _drop_waiting(self) -> None:
        while True:
            try:
                task = self._queue.get_nowait()
            except Empty:
                return
            if task is not None:
                task[1].cancel()
