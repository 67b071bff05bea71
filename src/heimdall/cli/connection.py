"""Finds the server that a command talks to."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a server listens → where it can be called


def connect(url: str | None) -> "HeimdallClient":
    from heimdall import bootstrap
    from heimdall.client import HeimdallClient

    settings = bootstrap.load_settings(url=url)
    token = settings.token or settings.admin_token
    address = settings.url or local_url(settings.host, settings.port)
    return HeimdallClient(address, token=token.get_secret_value() if token else None)


def local_url(host: str, port: int) -> str:
    host = EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
