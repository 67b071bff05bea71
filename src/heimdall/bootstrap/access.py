"""Tokens of an installation: for the API, which checks them, and for the command line, which makes them."""

import shlex
from collections.abc import Generator
from contextlib import contextmanager

from heimdall.bootstrap.data_folder import open_data_folder, require_existing, require_whole
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
        place = "" if settings.database_url else f" --data-dir {shlex.quote(str(settings.data_dir))}"
        raise StartRefusedError(
            f"Without tokens the service listens on loopback only, not on {settings.host}: make one with "
            f"`heimdall tokens create --role admin{place}`, or set HEIMDALL_ADMIN_TOKEN."
        )


@contextmanager
def open_tokens(settings: Settings, *, may_create: bool = False) -> Generator[TokenService]:
    """The tokens in the database itself, whether a service runs or not.

    `may_create`: an installation that is not there yet is made, but only where its place was named: a token in
    a new folder that no service uses would open nothing.

    Raises: NotFoundError, when there is no installation; HeimdallError when the database cannot be used.
    """
    require_whole(settings)
    is_named = not {"data_dir", "database_url"}.isdisjoint(settings.model_fields_set)
    if not (may_create and is_named):
        require_existing(settings)
    if settings.database_url is None:
        open_data_folder(settings.data_dir.resolve())
    prepare(settings.resolved_database_url, mode="create_only")
    database = open_database(settings.resolved_database_url)
    try:
        yield token_service(settings, open_stores(database))
    finally:
        database.close()
