"""What a client of `/ws` may ask for, and the past it is shown then."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from heimdall.api.live.frames import Frame, event_frame
from heimdall.api.live.hub import Hub
from heimdall.api.live.selection import HEAVY, MAX_NUMBER, Selection, Thinning, event_names
from heimdall.domain.events import Event
from heimdall.domain.ports import HistoryStore

PAGE = 100
MAX_RECENT = 1_000
MAX_THINNED = 5_000  # events that are read to find every Nth epoch among them
DEFAULT_SELECTION = Selection(left_out=HEAVY)

JobText = Annotated[str, Field(max_length=36), AfterValidator(str.lower)]
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


async def replay(hub: Hub, subscription: Subscribe, past: Past) -> AsyncIterator[list[Frame]]:
    """The past asked for, marked as such, noting it in `past`."""
    seen = past.up_to
    seen.update(subscription.after)
    newest = await hub.read(hub.history.event_seqs, list(subscription.after)) if subscription.after else {}
    for job_id in subscription.after:
        while seen[job_id] < newest.get(job_id, 0) and (
            frames := await hub.read(_page, hub.history, job_id, seen[job_id])
        ):
            seen[job_id] = frames[-1].seq
            yield frames
    if subscription.recent:
        async for frames in _recent(hub, subscription, past):
            yield frames


async def _recent(hub: Hub, subscription: Subscribe, past: Past) -> AsyncIterator[list[Frame]]:
    """The newest events that the subscription lets through, a few at a time: together they may be large."""
    selection = subscription.selection()
    job_ids = None if selection.jobs is None else sorted(selection.jobs)
    limit = min(subscription.recent * subscription.progress_every, MAX_THINNED)
    places = await hub.read(partial(hub.history.recent_events, selection.stored_names(), job_ids=job_ids, limit=limit))
    past.single = set()
    chosen = places if subscription.progress_every == 1 else await hub.read(_thinned, hub.history, places, selection)
    chosen = [place for place in chosen if place[0] not in subscription.after][-subscription.recent :]
    for start in range(0, len(chosen), PAGE):
        events = await hub.read(hub.history.events_at, chosen[start : start + PAGE])
        past.single.update((event.job_id, event.seq) for event in events)
        yield [_replayed(event) for event in events]


def _thinned(history: HistoryStore, places: list[tuple[str, int]], selection: Selection) -> list[tuple[str, int]]:
    """Blocks."""
    pages = (places[start : start + PAGE] for start in range(0, len(places), PAGE))
    frames = (event_frame(event) for page in pages for event in history.events_at(page))
    return [(frame.job_id, frame.seq) for frame in Thinning(selection).chosen(frames)]


def _page(history: HistoryStore, job_id: str, after: int) -> list[Frame]:
    return [_replayed(event) for event in history.events(job_id, after=after, limit=PAGE)]


def _replayed(event: Event) -> Frame:
    return event_frame(event, replayed=True)


def subscribed(subscription: Subscribe) -> Mapping[str, object]:
    """What was understood."""
    return {
        "event": "subscribed",
        "jobs": subscription.jobs,
        "events": subscription.events,
        "after": subscription.after,
        "recent": subscription.recent,
        "progress_every": subscription.progress_every,
    }
