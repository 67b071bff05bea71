"""What is live of one job, shared by all who follow it."""

from dataclasses import dataclass

import anyio

from heimdall.api.live.frames import Frame, status_text
from heimdall.api.live.window import Window
from heimdall.domain.events import EventName
from heimdall.domain.job import ENDED, Job

STATUS_GAP_SECONDS = 0.1
STATUS_EVERY_SECONDS = 5.0
ENDED_NAMES = frozenset(status.value for status in ENDED)


class Bell:
    """Wakes everybody who waits for the next ring."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = anyio.Event()

    async def wait(self) -> None:
        await self._event.wait()


@dataclass(frozen=True, slots=True)
class StatusMessage:
    seq: int
    text: str
    is_ended: bool
    made_at: float  # monotonic


class Feed:
    def __init__(self, job: Job) -> None:
        self.job_id = job.id
        self.window = Window(job.event_seq)
        self.bell = Bell()
        self.status: StatusMessage | None = None
        self.is_deleted = False
        self.is_ended = job.status.is_ended
        self.num_followers = 0
        self.num_status_followers = 0

    def append(self, frame: Frame) -> None:
        self.window.append(frame)
        if frame.name == EventName.COMPLETED:
            self.is_ended = frame.data.get("status") in ENDED_NAMES
        elif frame.name in {EventName.RESUMED, EventName.QUEUED}:
            self.is_ended = False

    def is_over(self, seq: int) -> bool:
        """Whether nothing can follow number `seq` for now: the job has ended."""
        return self.is_ended and seq >= self.window.newest

    def set_status(self, job: Job, now: float) -> None:
        """Several may have read the same state at once: it is told once."""
        known = self.status
        if known is not None and known.seq == job.event_seq and now - known.made_at < STATUS_GAP_SECONDS:
            return
        self.status = StatusMessage(job.event_seq, status_text(job), job.status.is_ended, now)

    def is_status_due(self, now: float) -> bool:
        """A change is told after at least `STATUS_GAP_SECONDS`, the present state every `STATUS_EVERY_SECONDS`."""
        if not self.num_status_followers or self.is_deleted:
            return False
        if self.status is None:
            return True
        age = now - self.status.made_at
        is_news = self.status.seq < self.window.newest
        return age >= (STATUS_GAP_SECONDS if is_news else STATUS_EVERY_SECONDS)
