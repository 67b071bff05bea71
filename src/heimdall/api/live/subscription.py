"""What a client of `/ws` may ask for, and the past it is shown then."""

from collections.abc import AsyncIterator, Iterator, Mapping
from heapq import nlargest
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from heimdall.api.live.frames import Frame, event_frame
from heimdall.api.live.hub import Hub
from heimdall.api.live.selection import HEAVY, MAX_NUMBER, Selection, event_names
from heimdall.domain.events import Event
from heimdall.domain.ports import HistoryStore
from heimdall.domain.records import JobFilter
from heimdall.jobs.service import JobService

PAGE = 500
MAX_RECENT = 1_000
DEFAULT_SELECTION = Selection(left_out=HEAVY)

JobText = Annotated[str, Field(max_length=36)]
Seq = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class Subscribe(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    event: Literal["subscribe"]
    jobs: Annotated[list[JobText], Field(max_length=1_000)] | None = None
    events: Annotated[list[str], Field(max_length=100)] | None = None
    after: Annotated[dict[JobText, Seq], Field(max_length=1_000)] = {}
    recent: Annotated[int, Field(ge=0, le=MAX_RECENT)] = 0
    progress_every: Annotated[int, Field(ge=1, le=MAX_NUMBER)] = 1

    def selection(self) -> Selection:
        """Raises: InvalidInputError for an unknown event."""
        return Selection(
            names=event_names(self.events or ()),
            left_out=HEAVY,
            jobs=None if self.jobs is None else frozenset(self.jobs),
            progress_every=self.progress_every,
        )


class Past:
    """What a client was shown by replays, so that the live events do not show it again."""

    def __init__(self) -> None:
        self.up_to: dict[str, int] = {}
        self.single: set[tuple[str, int]] = set()

    def has(self, frame: Frame) -> bool:
        return 0 < frame.seq <= self.up_to.get(frame.job_id, 0) or (frame.job_id, frame.seq) in self.single


async def replay(hub: Hub, wish: Subscribe, past: Past) -> AsyncIterator[list[Frame]]:
    """The past asked for, marked as such, noting it in `past`."""
    seen = past.up_to
    for job_id, after in wish.after.items():
        seen[job_id] = after
        while frames := await hub.read(_page, hub.history, job_id, seen[job_id]):
            seen[job_id] = frames[-1].seq
            yield frames
    if wish.recent:
        events = await hub.read(recent_events, hub.jobs, hub.history, wish.recent, wish.selection())
        frames = [event_frame(event, replayed=True) for event in events if event.job_id not in wish.after]
        past.single = {(frame.job_id, frame.seq) for frame in frames}
        yield frames


def _page(history: HistoryStore, job_id: str, after: int) -> list[Frame]:
    return [event_frame(event, replayed=True) for event in history.events(job_id, after=after, limit=PAGE)]


def recent_events(jobs: JobService, history: HistoryStore, limit: int, selection: Selection) -> list[Event]:
    """The newest `limit` events of all jobs, oldest first. Blocks.

    A job's events are never newer than its `updated_at`, so the search ends at the first job that was updated
    before the oldest event found so far.
    """
    found: list[Event] = []
    offset = 0
    while page := jobs.page(JobFilter(sort="-updated_at", limit=50, offset=offset)).jobs:
        offset += len(page)
        for job in page:
            if len(found) == limit and job.updated_at < found[-1].timestamp:
                return found[::-1]
            newest = _newest_events(history, job.id, job.event_seq, limit, selection)
            found = nlargest(limit, [*found, *newest], key=lambda event: (event.timestamp, event.job_id, event.seq))
    return found[::-1]


def _newest_events(history: HistoryStore, job_id: str, seq: int, limit: int, selection: Selection) -> Iterator[Event]:
    """Newest first, at most `limit` of them."""
    num_found = 0
    while seq > 0 and num_found < limit:
        start = max(0, seq - PAGE)
        page = history.events(job_id, after=start, limit=seq - start)
        for event in reversed(page):
            if num_found < limit and selection.has(event_frame(event)):
                num_found += 1
                yield event
        seq = start


def subscribed(wish: Subscribe) -> Mapping[str, object]:
    """What was understood."""
    return {
        "event": "subscribed",
        "jobs": wish.jobs,
        "events": wish.events,
        "after": wish.after,
        "recent": wish.recent,
        "progress_every": wish.progress_every,
    }
