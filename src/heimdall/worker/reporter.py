"""Follows what the process prints and what it takes of the machine, beside the training."""

import logging
import threading
import time
from collections.abc import Callable

from heimdall.domain.events import EventName, NewEvent
from heimdall.worker.job_streams import flush_streams
from heimdall.worker.output import OutputFollower
from heimdall.worker.system import SystemMeter, as_points
from heimdall.worker.writer import Part, Writer

logger = logging.getLogger(__name__)


class Reporter:
    def __init__(
        self,
        writer: Writer,
        output: OutputFollower,
        *,
        began_at: float,
        look_seconds: float = 0.2,
        system_seconds: float = 10.0,
    ) -> None:
        self._writer = writer
        self._output = output
        self._began_at = began_at  # unix time of the job's start: samples are numbered by seconds since
        self._lock = threading.Lock()
        self._look_seconds = look_seconds
        self._system_seconds = system_seconds
        self._meter = SystemMeter()
        self._newest_error = ""
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def read_output(self, *, is_last: bool = False) -> None:
        """Hand over what was printed since the last time; at the last, a line without an end too."""
        flush_streams()
        with self._lock:
            part = self._output.read(is_last=is_last)
        if part is not None:
            self._writer.submit(part)

    def _work(self) -> None:
        next_sample = 0.0
        calm = threading.Event()
        while not calm.wait(self._look_seconds):
            self._try(self.read_output)
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + self._system_seconds
                self._try(self._sample)

    def _try(self, work: Callable[[], None]) -> None:
        """One turn that fails, for want of descriptors or of disk, does not end the following ones."""
        try:
            work()
        except Exception as error:
            if repr(error) != self._newest_error:
                self._newest_error = repr(error)
                logger.exception("Following the output or the machine failed; it is tried again")

    def _sample(self) -> None:
        sample = self._meter.sample()
        now = time.time()
        self._writer.rows.append((max(0, int(now - self._began_at)), now, as_points(sample)))
        self._writer.submit(Part(events=[NewEvent(EventName.SYSTEM, dict(sample))]))
