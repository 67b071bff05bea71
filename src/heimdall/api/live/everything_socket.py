"""`/ws`: the events of all jobs."""

from collections.abc import Sequence
from typing import Any

import anyio
from pydantic import ValidationError
from starlette.websockets import WebSocket

from heimdall.api.errors import field_error
from heimdall.api.live.everything import Everything
from heimdall.api.live.frames import Frame, error_text, now_text
from heimdall.api.live.hub import Hub, StoppingError
from heimdall.api.live.selection import Thinning
from heimdall.api.live.session import Session, SlowReaderError
from heimdall.api.live.subscription import DEFAULT_SELECTION, Past, Subscribe, replay, subscribed
from heimdall.domain.errors import InvalidInputError
from heimdall.domain.wire import json_text
from heimdall.sdk.field_error import sentence

BATCH = 500
HEARTBEAT_SECONDS = 30.0


async def serve_everything(websocket: WebSocket, hub: Hub, *, heartbeat_seconds: float) -> None:
    session = Session(websocket, hub)
    await websocket.accept()
    async with hub.follow_everything() as everything:
        await session.greet(_message("connected", message="Connected to all training jobs"))
        reader = _Reader(session, hub, everything, heartbeat_seconds)
        await session.converse(reader.talk, reader.hear)


class _Reader:
    """`_turn` lets either the replay or the live events speak, never both at once."""

    def __init__(self, session: Session, hub: Hub, everything: Everything, heartbeat_seconds: float) -> None:
        self._session = session
        self._hub = hub
        self._everything = everything
        self._heartbeat_seconds = heartbeat_seconds
        self._number = everything.window.newest
        self._thinning = Thinning(DEFAULT_SELECTION)
        self._past = Past()
        self._turn = anyio.Lock()

    async def talk(self) -> int:
        next_beat = anyio.current_time() + self._heartbeat_seconds
        while True:
            await self._send_news()
            with anyio.move_on_after(next_beat - anyio.current_time()) as waiting:
                await self._everything.bell.wait()
            if waiting.cancelled_caught or anyio.current_time() >= next_beat:
                await self._session.send([_message("heartbeat")])
                next_beat = anyio.current_time() + self._heartbeat_seconds

    async def hear(self, message: dict[str, Any]) -> None:
        try:
            subscription = Subscribe.model_validate(message)
            selection = subscription.selection()
        except ValidationError as error:
            entries = [field_error(dict(entry)) for entry in error.errors(include_url=False, include_input=False)]
            await self._session.send([error_text(f"The message was not understood: {sentence(entries)}")])
            return
        except InvalidInputError as error:
            await self._session.send([error_text(str(error))])
            return
        async with self._turn:
            await self._session.send([json_text({**subscribed(subscription), "timestamp": now_text()})])
            async for frames in replay(self._hub, subscription, self._past):
                await self._session.send([frame.text for frame in frames])
            self._thinning = Thinning(selection)

    async def _send_news(self) -> None:
        """Raises: SlowReaderError, StoppingError."""
        while self._number < self._everything.window.newest:
            async with self._turn:
                frames = self._everything.window.after(self._number, BATCH)
                if frames is None:
                    raise SlowReaderError
                self._number += len(frames)
                await self._session.send(self._wanted(frames))
        if self._hub.is_stopping:
            raise StoppingError

    def _wanted(self, frames: Sequence[Frame]) -> list[str]:
        """Texts of what was asked for and not shown by a replay."""
        return [frame.text for frame in self._thinning.chosen(frames) if not self._past.has(frame)]


def _message(event: str, **fields: str) -> str:
    return json_text({"event": event, "timestamp": now_text(), **fields})
