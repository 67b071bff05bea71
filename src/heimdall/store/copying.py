"""Copies a whole database into an empty one, of the same kind or the other: all of it or nothing."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from heimdall.domain.errors import ConflictError, DatabaseRefusedError
from heimdall.domain.job import Status
from heimdall.store.engine import Database, open_database, parse_url, sqlite_file
from heimdall.store.liveness import SILENCE_SECONDS
from heimdall.store.schema import prepare
from heimdall.store.tables import idempotency_keys, metadata, series, training_jobs, workers

SLICE = 5_000
WATCH_STEP_SECONDS = 0.5
NOT_COPIED = (idempotency_keys, workers)  # they live for a day, and for half a minute
COPIED = [table for table in metadata.sorted_tables if table not in NOT_COPIED]  # parents before children
Report = Callable[[str, int], None]


def copy_database(
    source_url: str,
    target_url: str,
    report: Report = lambda _table, _num_rows: None,
    *,
    watch_seconds: float = SILENCE_SECONDS,
) -> dict[str, int]:
    """Copy every row, read it again from the target and compare; rows by table.

    Workers that have announced themselves and not left are watched for `watch_seconds` first: a killed one stays named.
    Nobody writes to either database meanwhile. `seq` and ids stay as they are; leases and idempotency keys do not come
    along. The files of artifacts are not touched. `report` is told of each table that is done.

    Raises:
        ConflictError: jobs run or workers live, which is named.
        DatabaseRefusedError: the source is not there or outdated, the target is not empty, or a row arrived changed.
        UnavailableError: one of them does not answer.
    """
    _refuse_bad_pair(source_url, target_url)
    prepare(source_url, mode="create_only")
    prepare(target_url, mode="create_only")
    source, target = open_database(source_url), open_database(target_url)
    try:
        silent = _watch_workers(source, watch_seconds)
        return source.write(lambda reading: target.write(lambda writing: _copy(reading, writing, report, silent)))
    finally:
        source.close()
        target.close()


def _refuse_bad_pair(source_url: str, target_url: str) -> None:
    source, target = parse_url(source_url), parse_url(target_url)
    if source.get_backend_name() == "sqlite" and not sqlite_file(source).exists():
        raise DatabaseRefusedError("There is no database to copy; name its folder with --data-dir.")
    if source == target or (source.host is None and sqlite_file(source) == sqlite_file(target)):
        raise DatabaseRefusedError("The database to copy to is the one to copy from; name another one.")


def _copy(reading: Connection, writing: Connection, report: Report, silent: Mapping[str, int]) -> dict[str, int]:
    _lock(reading, "SHARE")
    _lock(writing, "SHARE ROW EXCLUSIVE")
    _refuse_running(reading)
    _refuse_live(silent, _counters(reading))
    for table in metadata.sorted_tables:
        if writing.execute(select(table).limit(1)).first() is not None:
            raise DatabaseRefusedError(f"The database to copy to has rows in {table.name}; name an empty one.")
    copied: dict[str, int] = {}
    for table in COPIED:
        copied[table.name] = _copy_table(table, reading, writing)
        report(table.name, copied[table.name])
    if writing.dialect.name == "postgresql":
        _go_on_numbering(writing)
    return copied


def _lock(connection: Connection, mode: str) -> None:
    """Keep others from writing. On SQLite the transaction itself does."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in metadata.sorted_tables)
        # One of the two rests while the other is read, for as long as that takes.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text(f"LOCK TABLE {names} IN {mode} MODE"))


def _watch_workers(source: Database, seconds: float) -> dict[str, int]:
    """Counters of workers that are named but did nothing for `seconds`. Raises: ConflictError as soon as one moves."""
    source.read(_refuse_running)
    end = time.monotonic() + seconds
    counters = source.read(_counters)
    while counters and time.monotonic() < end:
        time.sleep(min(WATCH_STEP_SECONDS, seconds))
        _refuse_live(counters, found := source.read(_counters))
        counters = found
    return counters


def _counters(connection: Connection) -> dict[str, int]:
    return {row.name: row.counter for row in connection.execute(select(workers.c.name, workers.c.counter))}


def _refuse_live(before: Mapping[str, int], now: Mapping[str, int]) -> None:
    live = sorted(name for name, counter in now.items() if before.get(name) != counter)
    if live:
        raise ConflictError(f"Workers are alive: {', '.join(live)}; stop the service, or its jobs would start twice.")


def _refuse_running(connection: Connection) -> None:
    jobs = training_jobs.c
    running = connection.execute(select(jobs.id).where(jobs.status == Status.RUNNING).order_by(jobs.id)).scalars().all()
    if running:
        names = ", ".join(running)
        raise ConflictError(f"Jobs are running: {names}; pause them or let them end, then stop the service.")


def _copy_table(table: Table, reading: Connection, writing: Connection) -> int:
    """Rows copied. Raises: DatabaseRefusedError when what can be read again is not what was written."""
    sent, num_sent = 0, 0
    for rows in _slices(table, reading):
        values = [_without_lease(row) for row in rows]
        writing.execute(insert(table), values)
        sent += sum(map(_digest, values))
        num_sent += len(values)
    arrived, num_arrived = 0, 0
    for rows in _slices(table, writing):
        arrived += sum(map(_digest, rows))
        num_arrived += len(rows)
    if (arrived, num_arrived) != (sent, num_sent):
        raise DatabaseRefusedError(
            f"Table {table.name} did not arrive as it was ({num_arrived} of {num_sent} rows); nothing was copied."
        )
    return num_sent


def _slices(table: Table, connection: Connection) -> Iterator[list[Mapping[str, Any]]]:
    with connection.execute(select(table).execution_options(yield_per=SLICE)) as result:
        for rows in result.mappings().partitions():
            yield [dict(row) for row in rows]


def _without_lease(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "lease_token": None} if "lease_token" in row else dict(row)


def _digest(row: Mapping[str, Any]) -> int:
    """A number for the row's values. Sums of them compare tables that come back in different orders."""
    return int.from_bytes(hashlib.sha256(repr(list(row.values())).encode(errors="surrogatepass")).digest())


def _go_on_numbering(connection: Connection) -> None:
    """Rows of `series` came with their numbers; PostgreSQL must give the next one a new number."""
    newest = connection.execute(select(func.max(series.c.id))).scalar_one()
    if newest is not None:
        connection.execute(text("SELECT setval(pg_get_serial_sequence('series', 'id'), :newest)"), {"newest": newest})
