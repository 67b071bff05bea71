"""Tokens of an installation: for the API, which checks them, and for the command line, which makes them."""

from collections.abc import Generator
from contextlib import contextmanager

from heimdall.bootstrap.data_folder import open_data_folder, require_whole
from heimdall.domain.errors import StartRefusedError
from heimdall.domain.ports import Stores
from heimdall.jobs.tokens import TokenService
from heimdall.settings import Settings
from heimdall.store import open_database, open_stores, prepare


def token_service(settings: Settings, stores: Stores) -> TokenService:
    secret = settings.admin_token.get_secret_value() if settings.admin_token else None
    return TokenService(stores.tokens, admin_secret=secret)


def require_guarded(settings: Settings, stores: Stores) -> None:
    """Raises: StartRefusedError when others could come in without a token."""
    if not settings.is_loopback and not token_service(settings, stores).known().is_on:
        raise StartRefusedError(
            f"Without tokens the service listens on loopback only, not on {settings.host}: make one with "
            "`heimdall tokens create --role admin`, or set HEIMDALL_ADMIN_TOKEN."
        )


@contextmanager
def open_tokens(settings: Settings) -> Generator[TokenService]:
    """The tokens in the database itself, whether a service runs or not.

    Raises: HeimdallError when the database cannot be used.
    """
    open_data_folder(settings.data_dir.resolve())
    require_whole(settings)
    prepare(settings.resolved_database_url, mode="create_only")
    database = open_database(settings.resolved_database_url)
    try:
        yield token_service(settings, open_stores(database))
    finally:
        database.close()
