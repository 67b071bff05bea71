"""What a trusted proxy says of the request it passes on: who sent it, and scheme, host and port as the client used."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

SCHEMES = {"http": {"http": "http", "https": "https"}, "websocket": {"http": "ws", "https": "wss"}}


class ForwardedHeaders:
    """Takes over X-Forwarded-For, -Proto, -Host and -Port when the peer is in `trusted`: addresses, networks or `*`."""

    def __init__(self, app: ASGIApp, *, trusted: str) -> None:
        self._app = app
        self._is_everyone_trusted, self._networks = parse_trusted(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in SCHEMES and self._is_trusted(scope.get("client")):
            scope = dict(scope)
            scope["headers"] = list(scope["headers"])
            _take_over(scope)
        await self._app(scope, receive, send)

    def _is_trusted(self, client: tuple[str, int] | None) -> bool:
        if self._is_everyone_trusted:
            return True
        try:
            address = ip_address(client[0] if client else "")
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def parse_trusted(text: str) -> tuple[bool, list[IPv4Network | IPv6Network]]:
    """Whether everyone is trusted, and whom else. Raises: ValueError naming what is no address, network or `*`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return "*" in names, [ip_network(name, strict=False) for name in names if name != "*"]


def _take_over(scope: Scope) -> None:
    headers = Headers(scope=scope)
    scheme = SCHEMES[scope["type"]].get(_nearest(headers, "x-forwarded-proto").lower())
    if scheme is not None:
        scope["scheme"] = scheme
    client = _nearest(headers, "x-forwarded-for")
    if _is_address(client):
        scope["client"] = (client, 0)
    host = _nearest(headers, "x-forwarded-host")
    port = _nearest(headers, "x-forwarded-port")
    if host:
        is_port_missing = port.isdigit() and ":" not in host.rpartition("]")[2]
        is_default_port = port == {"http": "80", "ws": "80", "https": "443", "wss": "443"}[scope["scheme"]]
        MutableHeaders(scope=scope)["host"] = f"{host}:{port}" if is_port_missing and not is_default_port else host


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _nearest(headers: Headers, name: str) -> str:
    """The entry the trusted peer itself added: the last one."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()
