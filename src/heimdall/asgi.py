"""`uvicorn heimdall.asgi:app`: the same service as `heimdall up` under a server of one's own, in one process.

Opened when the server starts it, not at import: importing a module must not create a data folder.
"""

import traceback

from starlette.types import ASGIApp, Receive, Scope, Send

from heimdall.bootstrap import build_app, load_settings
from heimdall.domain.errors import HeimdallError


class Application:
    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            try:
                self._app = build_app(load_settings())
            except Exception as error:
                if scope["type"] != "lifespan":
                    raise
                # Raised, it would be taken for an application without lifespan, and the server would stay up.
                is_explained = isinstance(error, HeimdallError | OSError)
                message = str(error) if is_explained else traceback.format_exc()
                await receive()
                await send({"type": "lifespan.startup.failed", "message": message})
                return
        await self._app(scope, receive, send)


app = Application()
