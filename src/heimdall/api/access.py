"""Who calls, and whether they may: tokens on requests, event streams and sockets, before any route sees them."""

import math
import time
from collections.abc import Callable, MutableMapping
from ipaddress import ip_address
from typing import Annotated, Any

import anyio
from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from heimdall.api.errors import problem
from heimdall.api.limits import RateLimit, peer_key
from heimdall.api.paths import PROBES, route_path
from heimdall.api.remembered import Remembered
from heimdall.domain.access import Role, Token
from heimdall.domain.errors import UnavailableError
from heimdall.jobs.tokens import KnownTokens

COOKIE = "heimdall_session"
SUBPROTOCOL = "bearer."
OPEN_PATHS = PROBES | {"/version", "/ui", "/api/v1/login"}  # login checks itself
OPEN_FOLDER = "/ui/"
OWN_PATHS = frozenset({"/api/v1/logout"})  # changes nothing but the caller's cookie
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REMEMBER_SECONDS = 2.0  # how long a revoked token may still work
NEW_TOKEN_SECONDS = 0.2  # at least so long between two looks that wrong tokens make the server take
NOT_KNOWN, NOT_ALLOWED = 4401, 4403
CALLER = "heimdall.caller"


class TokenBook:
    """The valid tokens as they were at most `remember_seconds` ago, so that a request costs one look into a dict
    and strangers cost no query."""

    def __init__(self, read: Callable[[], KnownTokens], *, remember_seconds: float = REMEMBER_SECONDS) -> None:
        self._tokens = Remembered(read)
        self._remember_seconds = remember_seconds

    async def known(self) -> KnownTokens:
        """Raises: UnavailableError."""
        return await self._tokens.since(time.monotonic() - self._remember_seconds)

    async def find(self, secret: str) -> Token | None:
        """The token of this secret, also when it was made a moment ago. Raises: UnavailableError."""
        asked_at = time.monotonic()
        token = (await self.known()).find(secret)
        if token is None:
            await anyio.sleep(max(0.0, self._tokens.read_at + NEW_TOKEN_SECONDS - asked_at))
            token = (await self._tokens.since(asked_at)).find(secret)
        return token


class Access:
    """Answers 401, 403 and 429 (sockets: closes with 4401 and 4403) for whoever may not go on."""

    def __init__(self, app: ASGIApp, *, book: TokenBook, requests: RateLimit, failures: RateLimit) -> None:
        self._app = app
        self._book = book
        self._requests = requests
        self._failures = failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or is_open(route_path(scope)):
            await self._app(scope, receive, send)
            return
        send = _with_subprotocol(scope, send)
        secret = presented_secret(scope)
        try:
            token = await self._book.find(secret) if secret else None
            known = await self._book.known()
        except UnavailableError as error:
            refusal = problem(503, str(error), code=error.code, instance=scope["path"], headers={"Retry-After": "1"})
            await _refuse(scope, receive, send, refusal)
            return
        refusal = self._refusal(scope, token, is_needed=known.is_on or _is_from_outside(scope), is_given=bool(secret))
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        scope[CALLER] = token
        if token is None:
            await self._app(scope, receive, send)
        else:
            await self._serve(scope, receive, send, token)

    def _refusal(self, scope: Scope, token: Token | None, *, is_needed: bool, is_given: bool) -> Response | None:
        path = scope["path"]
        if token is None and is_needed:
            return refused_login(scope, self._failures, is_given=is_given)
        wait = self._requests.wait_seconds(f"token {token.id}" if token else f"peer {_peer(scope)}")
        if wait:
            return _too_many(path, wait, "Too many requests")
        if token is not None and not token.role.covers(needed_role(scope)):
            detail = f"The token {token.name!r} has the role {token.role.value}, which may not do this."
            return problem(403, detail, code="role_too_low", instance=path)
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send, token: Token) -> None:
        """Go on; a socket or event stream ends at its first message after the token was revoked."""
        is_stream = scope["type"] == "websocket"
        is_revoked = False

        async def checked_send(message: Message) -> None:
            nonlocal is_stream, is_revoked
            if message["type"] == "http.response.start":  # a download of known length may finish
                is_stream = "content-length" not in Headers(raw=message["headers"])
            elif is_stream and await self._is_revoked(token):
                is_revoked = True
                await _hang_up(scope, send)
            await send(message)

        try:
            await self._app(scope, receive, checked_send)
        except (ClientDisconnect, WebSocketDisconnect):
            if not is_revoked:
                raise

    async def _is_revoked(self, token: Token) -> bool:
        try:
            known = await self._book.known()
        except UnavailableError:  # nothing new can be read either
            return False
        return token.sha256 not in known.by_sha256


def is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def needed_role(scope: Scope) -> Role:
    """Sockets and reading methods need the least role; whatever may change something needs more."""
    is_reading = scope["type"] == "websocket" or scope["method"] in READING_METHODS or route_path(scope) in OWN_PATHS
    return Role.VIEWER if is_reading else Role.OPERATOR


def presented_secret(scope: Scope) -> str | None:
    """From `Authorization: Bearer …`, a socket's subprotocol `bearer.…`, or the session cookie: the first that is.

    Other schemes are for a proxy in front of the service.
    """
    headers = Headers(scope=scope)
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip()
    for name in _subprotocols(scope):
        if name.startswith(SUBPROTOCOL):
            return name.removeprefix(SUBPROTOCOL)
    return HTTPConnection(scope).cookies.get(COOKIE)  # whatever other services of this host have put beside it


def refused_login(scope: Scope, failures: RateLimit, *, is_given: bool) -> Response:
    """401; 429 for a peer that has tried too often. Who has a valid token is never held up by others' failures."""
    path = scope["path"]
    wait = failures.wait_seconds(_peer(scope)) if is_given else 0.0
    if wait:
        return _too_many(path, wait, "Too many wrong tokens")
    detail = (
        "This token is unknown or revoked: set HEIMDALL_TOKEN to a valid one; an administrator makes one with "
        "`heimdall tokens create`."
        if is_given
        else "A token is needed: set HEIMDALL_TOKEN for the command line, or send `Authorization: Bearer TOKEN`; "
        "an administrator makes one with `heimdall tokens create`."
    )
    return problem(401, detail, code="not_logged_in", instance=path, headers={"WWW-Authenticate": "Bearer"})


async def caller(connection: HTTPConnection) -> Token | None:
    return connection.scope.get(CALLER)


async def actor(connection: HTTPConnection) -> str | None:
    """The name of the token that calls, for the event log; None where no tokens are used."""
    token: Token | None = connection.scope.get(CALLER)
    return token.name if token else None


Caller = Annotated[Token | None, Depends(caller)]
Actor = Annotated[str | None, Depends(actor)]


def _too_many(path: str, wait: float, what: str) -> Response:
    seconds = math.ceil(wait)
    detail = f"{what}: try again in {seconds} s."
    return problem(429, detail, code="too_many_requests", instance=path, headers={"Retry-After": str(seconds)})


def _peer(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return peer_key(client[0]) if client else ""


def _is_from_outside(scope: Scope) -> bool:
    """Whether the request came in by an address that other machines can reach; a name is a socket file or a test."""
    server: tuple[str, int | None] | None = scope.get("server")
    try:
        return server is not None and not ip_address(server[0]).is_loopback
    except ValueError:
        return False


def _subprotocols(scope: Scope) -> list[str]:
    return scope.get("subprotocols", []) if scope["type"] == "websocket" else []


def _with_subprotocol(scope: Scope, send: Send) -> Send:
    """A browser drops a socket whose server does not choose one of the subprotocols it offered."""
    chosen = next((name for name in _subprotocols(scope) if name.startswith(SUBPROTOCOL)), None)
    if chosen is None:
        return send

    async def send_chosen(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message["subprotocol"] = chosen
        await send(message)

    return send_chosen


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Response) -> None:
    """A socket without the right is accepted and closed, so that a page learns the reason from the code."""
    if scope["type"] == "http":
        await refusal(scope, receive, send)
        return
    websocket = WebSocket(scope, receive, send)
    codes = {401: NOT_KNOWN, 403: NOT_ALLOWED}
    if refusal.status_code in codes:
        await websocket.accept()
        await websocket.close(codes[refusal.status_code])
    elif "websocket.http.response" in scope.get("extensions", {}):
        await websocket.send_denial_response(refusal)
    else:
        await websocket.close(1013)


async def _hang_up(scope: Scope, send: Send) -> None:
    """Raises: WebSocketDisconnect, ClientDisconnect."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": NOT_KNOWN})
        raise WebSocketDisconnect(NOT_KNOWN)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    raise ClientDisconnect
