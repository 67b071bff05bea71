"""The events of one job as server-sent events."""

import time
from collections.abc import AsyncGenerator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import Response, StreamingResponse

from heimdall.api.live.frames import Frame
from heimdall.api.live.hub import Hub, StoppingError
from heimdall.api.live.selection import Selection, Thinning
from heimdall.domain.errors import JobNotFoundError

PING_SECONDS = 15.0
RETRY_MILLISECONDS = 3000
MEDIA_TYPE = "text/event-stream"


async def stream_response(hub: Hub, job_id: str, after: int, selection: Selection) -> Response:
    """Events after number `after` until the job ends; 204 when there can be none. Raises: JobNotFoundError."""
    job = await hub.read(hub.jobs.get, job_id)
    if job.status.is_ended and after >= job.event_seq:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_chunks(hub, job_id, after, selection), media_type=MEDIA_TYPE, headers=headers)


async def _chunks(hub: Hub, job_id: str, after: int, selection: Selection) -> AsyncGenerator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    hub.num_streams += 1
    sent_at, thinning = time.monotonic(), Thinning(selection)
    try:
        async with hub.follow(job_id) as feed:
            async for frames in hub.events(feed, after, idle_seconds=PING_SECONDS):
                chunk = b"".join(_message(frame) for frame in thinning.chosen(frames))
                if not chunk and time.monotonic() - sent_at >= PING_SECONDS:
                    chunk = KEEPALIVE_COMMENT
                if chunk:
                    sent_at = time.monotonic()
                    yield chunk
    except (JobNotFoundError, StoppingError):  # deleted between two looks; the server stops
        return
    finally:
        hub.num_streams -= 1


def _message(frame: Frame) -> bytes:
    return format_sse_event(data_str=frame.text, id=str(frame.seq) if frame.seq else None)
