"""The database behind the ports of `heimdall.domain.ports`: SQLite or PostgreSQL, the same queries."""

from heimdall.store.copying import copy_database
from heimdall.store.engine import Database, open_database
from heimdall.store.figures import stored_figures
from heimdall.store.schema import prepare
from heimdall.store.stores import open_stores

__all__ = ["Database", "copy_database", "open_database", "open_stores", "prepare", "stored_figures"]
