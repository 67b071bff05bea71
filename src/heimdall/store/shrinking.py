"""Giving the space of deleted rows back to the disk. PostgreSQL does so by itself."""

from sqlalchemy import Connection

from heimdall.store.engine import Database

SLICE = 2_000  # pages a transaction: 8 MB
INCREMENTAL = 2  # what `PRAGMA auto_vacuum` answers


def shrink(database: Database) -> bool:
    """Cut some free pages off a SQLite file, or else its write-ahead log; False when there is no more to cut.

    A file of an earlier release keeps its pages for new rows: only a VACUUM, which locks it, could change that.
    """
    if database.dialect != "sqlite":
        return False
    if database.write(_cut_slice):
        return True
    with database.writer.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # outside of any transaction; busy readers only delay it
    return False


def _cut_slice(connection: Connection) -> bool:
    if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() != INCREMENTAL:
        return False
    before = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA incremental_vacuum({SLICE})").all()
    return before > SLICE
