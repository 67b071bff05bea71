"""HEAD wherever GET is: the same headers, no body."""

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Routes that answer HEAD themselves are left alone; of other answers only the head is sent."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        if not is_head or "HEAD" in allowed_methods(self._routes, scope, adds_head=False):
            await self._app(scope, receive, send)
            return
        has_ended = False

        async def send_head(message: Message) -> None:
            nonlocal has_ended
            if has_ended or message["type"] != "http.response.start":
                return
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            has_ended = True
            if "content-length" not in Headers(raw=message["headers"]):
                raise ClientDisconnect  # a stream has no end of its own

        is_get = "GET" in allowed_methods(self._routes, scope)
        try:
            await self._app({**scope, "method": "GET"} if is_get else scope, receive, send_head)
        except ClientDisconnect:
            if not has_ended:
                raise


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope, *, adds_head: bool = True) -> list[str]:
    """What can be asked at this path, sorted."""
    methods: set[str] = set()
    for route in iter_route_contexts(routes):
        match, _ = route.matches(scope)
        if match is not Match.NONE:
            methods |= route.methods or set()
    if adds_head and "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)
