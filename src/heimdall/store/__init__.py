"""The database behind the ports of `heimdall.domain.ports`: SQLite or PostgreSQL, the same queries."""

from heimdall.store.engine import Database, open_database
from heimdall.store.schema import prepare
from heimdall.store.stores import open_stores

__all__ = ["Database", "open_database", "open_stores", "prepare"]
