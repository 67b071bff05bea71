"""The Celery worker inside a worker: takes `heimdall.wake` from the queue and rings the slots loop.

It runs in a thread, without Celery's command line, so that signals stay this process's own. While no slot is free it
does not listen: the messages stay in the queue for a worker that can start something.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false, reportUnknownArgumentType=false

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery.worker import WorkController, state
from celery.worker.consumer import Consumer
from typing_extensions import override

from heimdall.wake.training_queue import QUEUE, WAKE, make_app

ATTEND_SECONDS = 0.1
logger = logging.getLogger(__name__)


class AttentiveConsumer(Consumer):
    """Listens while `controller.is_free()` and looks for a lost broker every second."""

    @override
    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        hub.call_repeatedly(ATTEND_SECONDS, self._attend)

    @override
    def ensure_connected(self, conn: Any) -> Any:
        def away(error: Exception, interval: float) -> None:
            logger.debug("No wake-ups from the message broker: %s", error)

        connected = conn.ensure_connection(
            away, None, interval_start=1, interval_step=0, interval_max=1, callback=state.maybe_shutdown
        )
        self.first_connection_attempt = False
        return connected

    def _attend(self) -> None:
        parts: Any = self
        is_free: bool = parts.controller.is_free()
        if parts.task_consumer is None or parts.task_consumer.consuming_from(QUEUE) == is_free:
            return
        if is_free:
            self.add_task_queue(QUEUE)
        else:
            self.cancel_task_queue(QUEUE)


class WakeConsumer:
    """Calls `heard(job_id)` for each wake-up, on a thread of its own, until it is closed. One a process."""

    def __init__(self, url: str, heard: Callable[[str], None]) -> None:
        self.is_free = True
        self._url = url
        self._heard = heard
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celery", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        state.should_stop = 0
        self._thread.join()
        state.should_stop = None

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._work()
            except Exception:
                logger.exception("The Celery worker stumbled")
            if not self._closing.wait(1.0):
                logger.warning("Wake-ups of the message broker stopped; they are asked for again")

    def _work(self) -> None:
        app = make_app(self._url)
        app.set_current()  # of this thread: there Celery looks a message's task up

        def wake(job_id: str) -> None:
            self._heard(job_id)

        app.task(name=WAKE, shared=False)(wake)
        controller: Any = WorkController(
            app=app,
            pool_cls="solo",
            concurrency=1,
            consumer_cls=AttentiveConsumer,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
        )
        controller.is_free = lambda: self.is_free
        controller.start()
