"""PostgreSQL's NOTIFY as wake-up: the store sends in its own transactions, these listen.

Nothing depends on a notification: whoever waits for one also looks once a second.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from heimdall.wake.inprocess import InProcessWake
from heimdall.wake.news import News

EVENTS_CHANNEL = "heimdall_events"  # payload: job_id:seq, or job_id:deleted
QUEUE_CHANNEL = "heimdall_queue"  # payload: job_id
DELETED = "deleted"
LOOK_SECONDS = 0.5
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
logger = logging.getLogger(__name__)


class Listener:
    """Calls `heard(payload)` on a thread of its own for each notification, and `heard("")` after a reconnect."""

    def __init__(self, database: str, channel: str, heard: Callable[[str], None]) -> None:
        self._database = database
        self._channel = channel
        self._heard = heard
        self._is_away = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"listen-{channel}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, it is tried again
                if not self._is_away:
                    logger.warning("Notifications of the database are away; it is asked every second: %s", error)
                self._is_away = True
                self._closing.wait(1.0)

    def _listen(self) -> None:
        with psycopg.connect(self._database, autocommit=True, **CONNECTION) as connection:
            connection.execute(f"LISTEN {self._channel}".encode())
            self._is_away = False
            self._heard("")
            while not self._closing.is_set():
                for notification in connection.notifies(timeout=LOOK_SECONDS):
                    self._heard(notification.payload)


class NotifySignal(News):
    """The ChangeSignal port for an API process. `database` is an address as libpq takes it."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self._listener = Listener(database, EVENTS_CHANNEL, self._heard)

    def close(self) -> None:
        self._listener.close()

    def _heard(self, payload: str) -> None:
        job_id, _, what = payload.partition(":")
        self.tell(deleted=job_id if what == DELETED else None)


class NotifyWake(InProcessWake):
    """The Wake port for slots loops on any machine: the transaction that queues a job notifies them all."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self._listener = Listener(database, QUEUE_CHANNEL, self._on_queued)

    def close(self) -> None:
        self._listener.close()
        super().close()

    def _on_queued(self, payload: str) -> None:
        super().send(payload, "")
