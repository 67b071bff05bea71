"""The database behind the ports of `heimdall.domain.ports`: SQLite or PostgreSQL, the same queries."""

from heimdall.store.copying import copy_database
from heimdall.store.engine import Database, open_database, parse_url, sqlite_file
from heimdall.store.figures import stored_figures
from heimdall.store.privacy import make_private, sqlite_files
from heimdall.store.schema import prepare
from heimdall.store.stores import open_stores

__all__ = [
    "Database",
    "copy_database",
    "make_private",
    "open_database",
    "open_stores",
    "parse_url",
    "prepare",
    "sqlite_file",
    "sqlite_files",
    "stored_figures",
]
