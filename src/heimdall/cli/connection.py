"""Finds the server that a command talks to."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient


def connect(url: str | None) -> "HeimdallClient":
    from heimdall import bootstrap
    from heimdall.client import HeimdallClient
    from heimdall.settings import local_url

    settings = bootstrap.load_client_settings(url=url)
    if settings.url:
        address, token = settings.url, settings.token  # the admin token is that of this machine's service
    else:
        address, token = local_url(settings.host, settings.port), settings.token or settings.admin_token
    return HeimdallClient(address, token=token.get_secret_value() if token else None)
