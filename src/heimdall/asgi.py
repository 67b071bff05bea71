"""`uvicorn heimdall.asgi:app`: the same service as `heimdall up` under a server of one's own.

Opened when the server starts it, not at import: importing a module must not create a data folder.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from heimdall.bootstrap import build_app, load_settings


class Application:
    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = build_app(load_settings())
        await self._app(scope, receive, send)


app = Application()
