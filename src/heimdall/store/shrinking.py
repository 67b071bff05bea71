"""Giving the space of deleted rows back to the disk. PostgreSQL does so by itself."""

import sqlite3
from contextlib import closing, suppress

from heimdall.store.engine import BUSY_TIMEOUT_SECONDS, Database, sqlite_file

SLICE = 2_000  # pages at once: 8 MB
INCREMENTAL = 2  # what `PRAGMA auto_vacuum` answers


def shrink(database: Database) -> bool:
    """Cut some free pages off a SQLite file, then its write-ahead log; False when there is no more to cut.

    A file of an earlier release keeps its pages for new rows: only a VACUUM, which locks it, could change that.
    """
    if database.dialect != "sqlite":
        return False
    # A connection of its own: SQLAlchemy ends after the first step of a PRAGMA, which frees a single page.
    place = f"{sqlite_file(database.url).as_uri()}?mode=rw"
    with (
        suppress(sqlite3.OperationalError),  # others write: at the next turn
        closing(sqlite3.connect(place, uri=True, isolation_level=None)) as connection,
    ):
        if _cut(connection):
            return True
        connection.execute("PRAGMA busy_timeout=0")  # waiting for readers here would keep writers waiting
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return False


def _cut(connection: sqlite3.Connection) -> bool:
    """Whether pages are left to cut."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (num_free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if mode != INCREMENTAL or not num_free:
        return False
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
    connection.executescript(f"PRAGMA incremental_vacuum({SLICE})")
    return num_free > SLICE
