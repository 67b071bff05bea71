"""What was recorded of a job: epochs, series, log, events."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from heimdall.api.json_body import StrictRoute
from heimdall.api.live import sse
from heimdall.api.live.frames import event_frame
from heimdall.api.live.hub import Hub
from heimdall.api.live.selection import MAX_NUMBER, Selection, event_names
from heimdall.api.openapi import problems
from heimdall.api.services import Services
from heimdall.api.training import tables
from heimdall.api.training.answers import EventPage, LogLine, LogPage, SeriesBody, SeriesBuckets
from heimdall.api.training.parameters import After, JobId, Types
from heimdall.domain.errors import InvalidInputError

LOG_PAGE = 5_000
EVENTS_AT_ONCE = 500
PAGE_CHARS = 8_000_000  # an answer is complete soon after that
LogLines = tuple[list[dict[str, Any]], int]
TEXT_CONTENT = {"text/plain": {"schema": {"type": "string"}}}
FILE_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
TABLE_CONTENT = {"text/csv": FILE_SCHEMA, tables.PARQUET_TYPE: FILE_SCHEMA}
Step = Annotated[int | None, Query(ge=-MAX_NUMBER, le=MAX_NUMBER)]
LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_NUMBER, description="Goes before `after`.")
]
router = APIRouter(tags=["history"], route_class=StrictRoute)


@router.get(
    "/jobs/{job_id}/metrics",
    response_model=list[dict[str, Any]],
    responses={**problems(404), 200: {"content": TABLE_CONTENT}},
)
def list_metrics(
    job_id: JobId,
    services: Services,
    response: Response,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after_epoch: Annotated[int | None, Query(ge=0, le=MAX_NUMBER)] = None,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="An attempt's abandoned tail too.")] = None,
    format: Literal["json", "csv", "parquet"] = "json",
) -> list[dict[str, Any]] | Response:
    """Finished epochs, oldest first, the newest `limit` of them; as CSV or Parquet: all of them."""
    services.jobs.get(job_id)
    most = limit if format == "json" else None
    rows, total = services.history.metrics(job_id, limit=most, after_epoch=after_epoch, attempt=attempt)
    if format == "json":
        response.headers["X-Total-Count"] = str(total)
        return rows
    content, media_type = tables.write(rows, format)
    headers = {"Content-Disposition": f'attachment; filename="metrics-{job_id}.{format}"', "X-Total-Count": str(total)}
    return Response(content, media_type=media_type, headers=headers)


@router.get("/jobs/{job_id}/series", responses=problems(404))
def list_series(job_id: JobId, services: Services) -> list[SeriesBody]:
    services.jobs.get(job_id)
    return [
        SeriesBody(name=found.name, points=found.points, last=found.last, min=found.min, max=found.max)
        for found in services.history.series(job_id)
    ]


@router.get("/jobs/{job_id}/series/{name:path}", responses=problems(404))
def get_series(
    job_id: JobId,
    name: str,
    services: Services,
    *,
    start: Step = None,
    end: Step = None,
    max_points: Annotated[int, Query(ge=1, le=100_000)] = 1000,
) -> SeriesBuckets:
    """Buckets of a power-of-two width, at most `max_points` of them."""
    services.jobs.get(job_id)
    if start is not None and end is not None and start > end:
        message = f"start ({start}) must not be larger than end ({end})"
        raise InvalidInputError(f"{message}.", [{"loc": ["query", "start"], "msg": message}])
    found = services.history.buckets(job_id, name, start=start, end=end, max_points=max_points)
    return SeriesBuckets(**found)


@router.get("/jobs/{job_id}/logs", response_model=LogPage, responses={**problems(404), 200: {"content": TEXT_CONTENT}})
def list_logs(
    request: Request,
    job_id: JobId,
    services: Services,
    *,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    level: Annotated[str | None, Query(max_length=20)] = None,
    format: Literal["json", "text"] = "json",
) -> LogPage | Response:
    """Lines after number `after`; as text: all of them."""
    services.jobs.get(job_id)
    most = LOG_PAGE if format == "text" else limit
    lines, following = services.history.logs(job_id, after=after, limit=most, level=level)
    if format == "json":
        return LogPage(lines=[LogLine(**line) for line in lines], next=following)
    hub: Hub = request.app.state.hub
    text = _log_text(hub, partial(services.history.logs, job_id, limit=LOG_PAGE, level=level), lines, following)
    return StreamingResponse(text, media_type="text/plain; charset=utf-8")


async def _log_text(
    hub: Hub, read_page: Callable[..., LogLines], lines: list[dict[str, Any]], following: int
) -> AsyncGenerator[str]:
    """These lines and all after them."""
    while True:
        yield "".join(f"{line['time']} {line['level']} {line['message']}\n" for line in lines)
        after = following
        lines, following = await hub.read(partial(read_page, after=after))
        if following == after:
            return


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=problems(404))
def list_events(
    job_id: JobId,
    services: Services,
    *,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    types: Types,
) -> Response:
    """The event log after number `after`, in the same bytes as the streams show it.

    Of large events fewer than `limit`: ask again with `next` until there are none.
    """
    services.jobs.get(job_id)
    names = sorted(event_names(types) or ())
    texts: list[str] = []
    following, num_chars = after, 0
    while len(texts) < limit and num_chars < PAGE_CHARS:
        most = min(EVENTS_AT_ONCE, limit - len(texts))
        events = services.history.events(job_id, after=following, limit=most, types=names)
        if not events:
            break
        texts += [event_frame(event).text for event in events]
        following, num_chars = events[-1].seq, sum(map(len, texts))
    return Response(f'{{"events":[{",".join(texts)}],"next":{following}}}', media_type="application/json")


@router.get(
    "/jobs/{job_id}/events/stream",
    response_class=StreamingResponse,
    responses={
        **problems(404),
        200: {"content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}},
        204: {"description": "The last event of an ended job was seen already: do not come back."},
    },
)
async def stream_events(
    request: Request,
    job_id: JobId,
    *,
    after: After = 0,
    types: Types,
    progress_every: Annotated[int, Query(ge=1, le=MAX_NUMBER)] = 1,
    last_event_id: LastEventId = None,
) -> Response:
    """The same events as server-sent events, live at the end."""
    selection = Selection(names=event_names(types), progress_every=progress_every)
    start = after if last_event_id is None else last_event_id
    return await sse.stream_response(request.app.state.hub, job_id, start, selection)
