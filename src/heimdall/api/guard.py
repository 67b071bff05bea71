"""The door: who may call, from which page, with what kind of body."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from heimdall.api.errors import problem
from heimdall.api.paths import is_probe

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
PAGE_SCHEMES = {"ws": "http", "wss": "https"}


class HostGuard:
    """Checks Host: a foreign name may be a rebound one, by which a page of anybody would share our origin.

    It stands in front of what takes over forwarded headers, which such a page can send too, and again behind it.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = LOOPBACK_HOSTS | {host.strip("[]").lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] not in {"http", "websocket"} or is_probe(scope) else self._refusal(scope)
        await _pass_on(self._app, refusal, scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        host = _host(Headers(scope=scope))
        if "*" in self._hosts or _address(f"//{host}")[0] in self._hosts:
            return None
        detail = (
            f"This server does not answer for the host {host!r}; add the name, without port, to "
            "HEIMDALL_ALLOWED_HOSTS, with commas between several."
        )
        return problem(421, detail, code="unknown_host", instance=scope["path"])


class Guard:
    """Checks Origin (a foreign page must not reach a local server), content type and declared length, before anything
    reads the body."""

    def __init__(self, app: ASGIApp, *, allowed_origins: Iterable[str], max_body_bytes: int) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope, Headers(scope=scope)) if scope["type"] in {"http", "websocket"} else None
        await _pass_on(self._app, refusal, scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        host = _host(headers)
        for origin in headers.getlist("origin"):
            if not self._is_known_origin(origin, scope["scheme"], host):
                detail = (
                    f"Pages of {origin} may not call this server; add the origin to HEIMDALL_ALLOWED_ORIGINS, "
                    "with commas between several."
                )
                return problem(403, detail, code="unknown_origin", instance=path)
        if "\0" in path or b"%00" in scope["query_string"]:
            return problem(400, "The address holds a NUL character.", code="bad_request", instance=path)
        return self._body_refusal(headers, path) if scope["type"] == "http" else None

    def _body_refusal(self, headers: Headers, path: str) -> Response | None:
        length = headers.get("content-length", "")
        has_body = length not in {"", "0"} or "transfer-encoding" in headers
        if not has_body:
            return None
        if length.isascii() and length.isdigit() and int(length[:19]) > self._max_body_bytes:
            detail = f"The body is larger than {self._max_body_bytes} bytes."
            # The rest of the body is not read, so the connection cannot carry another request.
            return problem(413, detail, code="body_too_large", instance=path, headers={"Connection": "close"})
        if not _is_json(headers.get("content-type", "")):
            detail = "The body must be JSON, with Content-Type: application/json."
            return problem(415, detail, code="not_json", instance=path)
        return None

    def _is_known_origin(self, origin: str, scheme: str, host: str) -> bool:
        page = _address(origin)
        own = _address(f"{PAGE_SCHEMES.get(scheme, scheme)}://{host}")
        return origin.rstrip("/").lower() in self._origins or (page == own and page[0] != "")


def _host(headers: Headers) -> str:
    return ", ".join(headers.getlist("host"))  # more than one is as good as none


def _address(url: str) -> tuple[str, int | None, str]:
    """Host name, port and scheme of a URL; an empty name when it is none."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme), parts.scheme
    except ValueError:
        return "", None, ""


def _is_json(content_type: str) -> bool:
    media_type = content_type.split(";", maxsplit=1)[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


async def _pass_on(app: ASGIApp, refusal: Response | None, scope: Scope, receive: Receive, send: Send) -> None:
    if refusal is None:
        await app(scope, receive, send)
    elif scope["type"] == "http":
        await refusal(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await WebSocket(scope, receive, send).send_denial_response(refusal)
    else:
        await WebSocket(scope, receive, send).close(1008)
