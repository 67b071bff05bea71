"""Wakes the slots loops that live in this process."""

import threading


class InProcessWake:
    """The Wake port for one process: every waiting thread hears of every send, also of one before it waited."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._num_sent = 0
        self._is_closed = False
        self._heard = threading.local()

    @property
    def is_away(self) -> bool:
        return False

    def send(self, job_id: str, task_id: str) -> None:
        with self._changed:
            self._num_sent += 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        heard: int = getattr(self._heard, "num_sent", 0)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._num_sent > heard, timeout)
            self._heard.num_sent = self._num_sent
            return self._num_sent > heard

    def welcome(self, *, is_free: bool) -> None:
        pass

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
