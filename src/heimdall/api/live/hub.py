"""One follower of the event log for the whole process: reads each new event once and hands it to all readers.

The change signal only says when to poll; what is new is found by comparing each followed job's newest number
with the number read last, so that neither commit order nor a lost signal can make a hole.
"""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from heimdall.api.live.everything import Everything
from heimdall.api.live.feed import Feed
from heimdall.api.live.frames import Frame, deleted_frame, event_frame
from heimdall.domain.errors import UnavailableError
from heimdall.domain.job import Job
from heimdall.domain.ports import HistoryStore
from heimdall.domain.signals import ChangeSignal
from heimdall.jobs.service import JobService

TICK_SECONDS = 0.02
LOOK_SECONDS = 1.0
PAGE = 100
STREAM_THREADS = 8
OUTAGES = (UnavailableError, OSError)
T = TypeVar("T")
logger = logging.getLogger(__name__)


class StoppingError(Exception):
    """The server shuts down."""


class Hub:
    def __init__(self, jobs: JobService, history: HistoryStore, signal: ChangeSignal) -> None:
        self.num_sockets = 0
        self.num_streams = 0
        self.num_events = 0
        self.is_stopping = False
        self.history = history
        self.jobs = jobs
        self.everything: Everything | None = None
        self._signal = signal
        self._feeds: dict[str, Feed] = {}
        self._limiter = anyio.CapacityLimiter(STREAM_THREADS)
        self._wanted = anyio.Event()
        self._looked_at = 0.0
        self._unreadable = set[str]()  # jobs whose trouble is in the server's log already

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Call a blocking read in the streams' own threads, so that they cannot starve the routes."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)

    def stop(self) -> None:
        """End every stream: sockets with 1012, server-sent events without a word."""
        self.is_stopping = True
        self._ring_all()

    # Readers

    @asynccontextmanager
    async def follow(self, job_id: str, *, with_status: bool = False) -> AsyncGenerator[Feed]:
        """The job's feed while the block runs. Raises: JobNotFoundError."""
        feed = self._feeds.get(job_id)
        if feed is None or feed.is_deleted:
            job: Job = await self.read(self.jobs.get, job_id)
            feed = self._feeds.get(job_id)
            if feed is None or feed.is_deleted:
                feed = self._feeds[job_id] = Feed(job)
        feed.num_followers += 1
        feed.num_status_followers += with_status
        self._wanted.set()
        try:
            yield feed
        finally:
            feed.num_followers -= 1
            feed.num_status_followers -= with_status
            if not feed.num_followers and self._feeds.get(job_id) is feed:
                del self._feeds[job_id]

    async def events(
        self, feed: Feed, after: int, *, idle_seconds: float | None = None
    ) -> AsyncGenerator[Sequence[Frame]]:
        """All events after number `after`, in order, without holes; ends with the job.

        A reader behind the window, at its start or because it is slow, is served from the database. An empty batch
        after `idle_seconds` without news. Raises: StoppingError.
        """
        seq = after
        while True:
            frames = feed.window.after(seq, PAGE)
            if frames is None:
                frames = await self._patiently(feed.job_id, seq)
            if frames:
                seq = frames[-1].seq
                yield frames
            elif feed.is_deleted:
                yield [deleted_frame(feed.job_id)]
                return
            elif feed.is_over(seq):
                return
            elif not await self._heard(feed, idle_seconds):
                yield []

    async def statuses(self, feed: Feed) -> AsyncGenerator[str]:
        """The newest training_status, then each later one; ends with the job. Raises: StoppingError."""
        if feed.status is None or feed.status.seq < feed.window.newest:
            await self.refresh_status(feed)
        seen = None
        while True:
            if feed.status is not None and feed.status is not seen:
                seen = feed.status
                yield seen.text
                if seen.is_ended:
                    return
            elif feed.is_deleted:
                yield deleted_frame(feed.job_id).text
                return
            else:
                await self._heard(feed, None)

    @asynccontextmanager
    async def follow_everything(self) -> AsyncGenerator[Everything]:
        """The news of all jobs while the block runs."""
        if self.everything is None:
            everything = await self.read(Everything.starting_now, self.history)
            if self.everything is None:
                self.everything = everything
        everything = self.everything
        everything.num_followers += 1
        self._wanted.set()
        try:
            yield everything
        finally:
            everything.num_followers -= 1
            if not everything.num_followers and self.everything is everything:
                self.everything = None

    async def refresh_status(self, feed: Feed) -> None:
        """Read the job again for its status message."""
        await self._refresh([feed])

    def forget(self, job_id: str) -> None:
        """Tell at once that this process has deleted the job. Call it from the loop's own thread."""
        self._delete(job_id)

    async def _refresh(self, feeds: Sequence[Feed]) -> None:
        """New status messages for all of these, from one query."""
        states = await self.read(self.history.states, [feed.job_id for feed in feeds])
        for feed in feeds:
            job = states.get(feed.job_id)
            if job is None:
                self._delete(feed.job_id)
            else:
                feed.set_status(job, time.monotonic())

    async def _heard(self, feed: Feed, idle_seconds: float | None) -> bool:
        if self.is_stopping:
            raise StoppingError
        with anyio.move_on_after(idle_seconds):
            await feed.bell.wait()
            return True
        return False

    async def _patiently(self, job_id: str, after: int) -> list[Frame]:
        """A page of the log; waits while the database is away."""
        while not self.is_stopping:
            try:
                return await self.read(self._page, job_id, after)
            except OUTAGES:
                await anyio.sleep(LOOK_SECONDS)
        raise StoppingError

    def _page(self, job_id: str, after: int) -> list[Frame]:
        return [event_frame(event) for event in self.history.events(job_id, after=after, limit=PAGE)]

    # The follower

    async def run(self) -> None:
        """Look at the log again and again. Sleeps while nobody follows."""
        is_failing = False
        while True:
            if not self._feeds and self.everything is None:
                self._wanted = anyio.Event()
                await self._wanted.wait()
            try:
                await self._tick()
                is_failing = False
            except Exception as error:  # the one follower of all streams must outlive any single mistake
                if not is_failing:
                    is_outage = isinstance(error, OUTAGES)
                    logger.warning("Live streams wait and try again every second: %s", error, exc_info=not is_outage)
                is_failing = True
                await anyio.sleep(LOOK_SECONDS)
            await anyio.sleep(TICK_SECONDS)

    async def _tick(self) -> None:
        now = time.monotonic()
        for job_id in self._signal.take_deleted():
            self._delete(job_id)
        if self._signal.poll() or now - self._looked_at >= LOOK_SECONDS:
            await self._look()
            self._looked_at = now
        due = [feed for feed in self._feeds.values() if feed.is_status_due(now)]
        if due:
            await self._refresh(due)
            for feed in due:
                feed.bell.ring()

    async def _look(self) -> None:
        read_to = {job_id: feed.window.newest for job_id, feed in self._feeds.items() if not feed.is_deleted}
        everything = self.everything
        newest = await self.read(self.history.event_seqs, list(read_to)) if read_to else {}
        gone = set(read_to) - set(newest)
        if everything is not None:
            changed, is_full = await self.read(everything.poll, self.history)
            if is_full:
                gone |= everything.missing(changed)
            newest.update(changed)
        for job_id, seq in newest.items():
            try:
                await self._catch_up(job_id, seq)
            except OUTAGES:
                raise
            except Exception:  # events of one job that cannot be read hold up no other job's
                if job_id not in self._unreadable:
                    logger.exception("The events of job %s cannot be read; its streams stand still", job_id)
                self._unreadable.add(job_id)
        for job_id in gone:
            self._delete(job_id)

    async def _catch_up(self, job_id: str, newest: int) -> None:
        """Read what the feed or `everything` has not seen of this job."""
        while True:
            feed = self._feeds.get(job_id)
            told = [feed.window.newest] if feed else []
            seen = self.everything.seen(job_id) if self.everything is not None else None
            if seen is not None:
                told.append(seen)
            if not told or min(told) >= newest:
                return
            frames = await self.read(self._page, job_id, min(told))
            if not frames:
                return
            self._hand_out(job_id, frames)

    def _hand_out(self, job_id: str, frames: Sequence[Frame]) -> None:
        self.num_events += len(frames)
        feed = self._feeds.get(job_id)
        for frame in frames:
            if feed is not None and frame.seq > feed.window.newest:
                feed.append(frame)
            if self.everything is not None:
                self.everything.append(frame)
        if feed is not None:
            feed.bell.ring()
        if self.everything is not None:
            self.everything.bell.ring()

    def _delete(self, job_id: str) -> None:
        feed = self._feeds.get(job_id)
        if feed is not None:
            feed.is_deleted = True
            feed.bell.ring()
        if self.everything is not None:
            self.everything.delete(job_id)
            self.everything.bell.ring()

    def _ring_all(self) -> None:
        for feed in self._feeds.values():
            feed.bell.ring()
        if self.everything is not None:
            self.everything.bell.ring()
