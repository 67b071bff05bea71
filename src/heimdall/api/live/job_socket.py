"""`/ws/training/{job_id}`: the state of one job, or its events after a number."""

from typing import Any

from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket

from heimdall.api.live.feed import Feed
from heimdall.api.live.frames import error_text, now_text
from heimdall.api.live.hub import Hub
from heimdall.api.live.selection import Selection, Thinning, event_names, whole_number
from heimdall.api.live.session import ENDED, NOT_FOUND, POLICY, Session
from heimdall.domain.errors import InvalidInputError, JobNotFoundError
from heimdall.domain.wire import json_text


async def serve_job(websocket: WebSocket, hub: Hub, job_id: str) -> None:
    job_id = job_id.lower()
    session = Session(websocket, hub)
    await websocket.accept()
    try:
        after, selection = _parameters(websocket.query_params)
        async with hub.follow(job_id, with_status=after is None) as feed:
            await session.greet(_connected(job_id))
            await _serve(session, hub, feed, after, selection)
    except JobNotFoundError as error:
        await _refuse(session, str(error), NOT_FOUND)
    except InvalidInputError as error:
        await _refuse(session, str(error), POLICY)


def _parameters(params: QueryParams) -> tuple[int | None, Selection]:
    """The number to go on after (None: status messages), and which events. Raises: InvalidInputError."""
    every = whole_number(params, "progress_every", least=1)
    selection = Selection(names=event_names(params.getlist("types")), progress_every=every or 1)
    return whole_number(params, "after", least=0), selection


async def _serve(session: Session, hub: Hub, feed: Feed, after: int | None, selection: Selection) -> None:
    async def talk() -> int:
        if after is None:
            async for text in hub.statuses(feed):
                await session.send([text])
        else:
            thinning = Thinning(selection)
            await hub.refresh_status(feed)
            await session.send([feed.status.text] if feed.status else [])
            async for frames in hub.events(feed, after):
                await session.send([frame.text for frame in thinning.chosen(frames)])
        return ENDED

    async def hear(message: dict[str, Any]) -> None:
        event = message.get("event")
        await session.send([error_text(f"This socket understands ping, not {str(event)[:100]!r}.")])

    await session.converse(talk, hear)


def _connected(job_id: str) -> str:
    return json_text(
        {"event": "connected", "job_id": job_id, "timestamp": now_text(), "message": "Connected to training job"}
    )


async def _refuse(session: Session, message: str, code: int) -> None:
    async def talk() -> int:
        await session.send([error_text(message)])
        return code

    async def hear(_: dict[str, Any]) -> None:
        return

    await session.converse(talk, hear)
