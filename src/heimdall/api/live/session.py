"""One accepted WebSocket: listening and talking at once, pings answered at any time, closed once."""

import json
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial
from typing import Any, cast

import anyio
import anyio.lowlevel
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from heimdall.api.json_body import parse_json
from heimdall.api.live.frames import error_text, now_text
from heimdall.api.live.hub import OUTAGES, Hub, StoppingError
from heimdall.domain.wire import json_text

MAX_MESSAGE_BYTES = 64 * 1024
SEND_PATIENCE_SECONDS = 20.0  # a client that takes nothing for so long is slow
STEP_CHARACTERS = 64 * 1024
CLOSE_PATIENCE_SECONDS = 60.0  # how long it may take it to hear that it was closed
ENDED, TOO_BIG, TRY_LATER, RESTARTING = 1000, 1009, 1013, 1012
POLICY, NOT_FOUND, TOO_SLOW = 1008, 4404, 4408

Talk = Callable[[], Awaitable[int]]
Hear = Callable[[dict[str, Any]], Awaitable[None]]


class SlowReaderError(Exception):
    """The client takes messages too slowly, or not at all."""


class Session:
    def __init__(self, websocket: WebSocket, hub: Hub) -> None:
        self._websocket = websocket
        self._hub = hub

    async def send(self, texts: Collection[str]) -> None:
        """Send messages in order. Raises: SlowReaderError, WebSocketDisconnect."""
        with anyio.move_on_after(SEND_PATIENCE_SECONDS) as patience:
            num_characters = 0
            for text in texts:
                await self._websocket.send_text(text)
                num_characters += len(text)
                if num_characters > STEP_CHARACTERS:  # it does read: it may go on for as long again
                    num_characters = 0
                    patience.deadline = anyio.current_time() + SEND_PATIENCE_SECONDS
            return
        raise SlowReaderError

    async def greet(self, text: str) -> None:
        """The first message, sent before anything of the client is read. A client that has left is noticed later."""
        with suppress(WebSocketDisconnect, WebSocketDisconnected):
            await self._websocket.send_text(text)

    async def converse(self, talk: Talk, hear: Hear) -> None:
        """Run both directions until `talk` returns a close code, the client leaves, or a rule is broken."""
        code: int | None = None
        self._hub.num_sockets += 1
        try:
            async with anyio.create_task_group() as group:

                async def run(side: Callable[[], Awaitable[int | None]]) -> None:
                    nonlocal code
                    code = await self._closing_code(side)
                    group.cancel_scope.cancel()

                group.start_soon(run, partial(self._listen, hear))
                group.start_soon(run, talk)
        finally:
            self._hub.num_sockets -= 1
        if code is not None:
            await self.close(code)

    async def close(self, code: int) -> None:
        try:
            with anyio.move_on_after(CLOSE_PATIENCE_SECONDS):
                await self._websocket.close(code)
        except (WebSocketDisconnect, WebSocketDisconnected):
            return

    async def _closing_code(self, side: Callable[[], Awaitable[int | None]]) -> int | None:
        """What to close with after this side is done; None when the client has left."""
        try:
            return await side()
        except (WebSocketDisconnect, WebSocketDisconnected):
            return None
        except SlowReaderError:
            return TOO_SLOW
        except StoppingError:
            return RESTARTING
        except OUTAGES:
            return TRY_LATER

    async def _listen(self, hear: Hear) -> int | None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text = message.get("text")
            if text is not None and len(text.encode(errors="replace")) > MAX_MESSAGE_BYTES:
                return TOO_BIG
            await self._answer(text, hear)
            await anyio.lowlevel.checkpoint()  # a client that never stops pinging lets the others have their turn

    async def _answer(self, text: str | None, hear: Hear) -> None:
        try:
            body: Any = parse_json((text or "").encode(errors="replace"))
        except json.JSONDecodeError as error:
            await self.send([error_text(f"The message is not valid JSON: {error.msg}.")])
            return
        if not isinstance(body, dict):
            await self.send([error_text('The message must be a JSON object such as {"event": "ping"}.')])
            return
        message = cast("dict[str, Any]", body)
        if message.get("event") == "ping":
            await self.send([json_text({"event": "pong", "timestamp": now_text()})])
        else:
            await hear(message)
