"""Wake-ups through RabbitMQ: a Celery task `heimdall.wake(job_id)` in the queue `training`, which any worker takes."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

from concurrent.futures import CancelledError
from typing import Any

from kombu.messaging import Producer

from heimdall.domain.errors import BrokerUnavailableError
from heimdall.wake.consumer import WakeConsumer
from heimdall.wake.inprocess import InProcessWake
from heimdall.wake.line import CONFIRM_SECONDS, BrokerLine
from heimdall.wake.training_queue import QUEUE, WAKE, make_app

SEND_SECONDS = 2.0


class CeleryWake(InProcessWake):
    """The Wake port for processes that queue jobs; with `has_slots` also for a slots loop of this process."""

    def __init__(self, url: str, *, has_slots: bool) -> None:
        super().__init__()
        self._app = make_app(url)
        self._line = BrokerLine(url, "wake-ups")
        self._consumer = None
        if has_slots:
            self._consumer = WakeConsumer(url, self._ring)

    @property
    def is_away(self) -> bool:
        return self._line.is_away

    def send(self, job_id: str, task_id: str) -> None:
        def publish(channel: Any) -> None:
            self._app.send_task(
                WAKE,
                [job_id],
                task_id=task_id,
                queue=QUEUE,
                producer=Producer(channel),
                retry=False,
                confirm_timeout=CONFIRM_SECONDS,
            )

        sent = self._line.submit(publish)
        try:
            sent.result(SEND_SECONDS)
        except (TimeoutError, CancelledError):
            sent.cancel()
            raise BrokerUnavailableError("The message broker does not answer; try again later.") from None

    def _ring(self, job_id: str) -> None:
        super().send(job_id, "")

    def welcome(self, *, is_free: bool) -> None:
        if self._consumer is not None:
            self._consumer.is_free = is_free

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._line.close()
        super().close()
