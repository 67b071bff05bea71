"""The database's faces."""

from heimdall.domain.ports import Stores
from heimdall.store.attempts import SqlAttemptStore
from heimdall.store.datasets import SqlDatasetStore
from heimdall.store.engine import Database
from heimdall.store.history import SqlHistoryStore
from heimdall.store.jobs import SqlJobStore
from heimdall.store.tokens import SqlTokenStore


def open_stores(database: Database) -> Stores:
    return Stores(
        jobs=SqlJobStore(database),
        attempts=SqlAttemptStore(database),
        history=SqlHistoryStore(database),
        datasets=SqlDatasetStore(database),
        tokens=SqlTokenStore(database),
    )
