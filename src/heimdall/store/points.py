"""Storing points of series with their roll-ups: the only place that talks to the driver directly, for speed.

Roll-ups of widths 64 and 4096 are computed anew from what they summarise, in the same transaction, so that late and
repeated steps stay right.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from heimdall.domain.attempt import SeriesPoints
from heimdall.domain.plain import LARGEST
from heimdall.store.tables import series

WIDTHS = (64, 4096)
MERGE_GAP = 16  # buckets: reading over a small gap costs less than another statement

FINITE = "value BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
UPSERT_SQLITE = (
    "INSERT INTO points (series_id, step, time, value) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (series_id, step) DO UPDATE SET time = excluded.time, value = excluded.value"
)
NEW_POINTS_POSTGRES = (
    "CREATE TEMPORARY TABLE IF NOT EXISTS new_points "
    "(series_id BIGINT, step BIGINT, time DOUBLE PRECISION, value DOUBLE PRECISION) ON COMMIT DELETE ROWS"
)
UPSERT_POSTGRES = (
    "INSERT INTO points (series_id, step, time, value) SELECT series_id, step, time, value FROM new_points "
    "ON CONFLICT (series_id, step) DO UPDATE SET time = excluded.time, value = excluded.value"
)
ON_CONFLICT = (
    "ON CONFLICT (series_id, width, bucket) DO UPDATE SET count = excluded.count, non_finite = excluded.non_finite, "
    "first_step = excluded.first_step, last_step = excluded.last_step, min = excluded.min, max = excluded.max"
)
COLUMNS = "series_id, width, bucket, count, non_finite, first_step, last_step, min, max"
ROLL_UP_64 = text(
    f"INSERT INTO rollups ({COLUMNS}) "  # noqa: S608 - constants of this module
    f"SELECT series_id, 64, step / 64, count(*), sum(CASE WHEN {FINITE} THEN 0 ELSE 1 END), min(step), max(step), "
    f"min(CASE WHEN {FINITE} THEN value END), max(CASE WHEN {FINITE} THEN value END) "
    "FROM points WHERE series_id = :series_id AND step >= :first AND step < :end "
    f"GROUP BY series_id, step / 64 {ON_CONFLICT}"
)
ROLL_UP_4096 = text(
    f"INSERT INTO rollups ({COLUMNS}) "  # noqa: S608 - constants of this module
    "SELECT series_id, 4096, bucket / 64, sum(count), sum(non_finite), min(first_step), max(last_step), "
    "min(min), max(max) FROM rollups "
    "WHERE series_id = :series_id AND width = 64 AND bucket >= :first / 64 AND bucket < :end / 64 "
    f"GROUP BY series_id, bucket / 64 {ON_CONFLICT}"
)

Point = tuple[int, int, float, float | None]  # series_id, step, time, value


def check_points(new: Sequence[SeriesPoints]) -> None:
    """Raises: ValueError for a step that cannot be stored."""
    for one in new:
        for step, _, _ in one.points:
            if not 0 <= step <= LARGEST:
                raise ValueError(f"Step {step} of series {one.name} is not between 0 and {LARGEST}.")


def write_points(connection: Connection, job_id: str, attempt: int, new: Sequence[SeriesPoints]) -> None:
    """Store points; a step given again replaces what was there. Steps as `check_points` allows them."""
    filled = [one for one in new if one.points]
    if not filled:
        return
    ids = _series_ids(connection, job_id, attempt, [one.name for one in filled])
    rows = [
        (ids[one.name], step, moment, None if value is None or math.isnan(value) else float(value))
        for one in filled
        for step, moment, value in one.points
    ]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(UPSERT_SQLITE, rows)
    else:
        _copy(connection, rows)
    touched = [(ids[one.name], [step for step, _, _ in one.points]) for one in filled]
    _roll_up(connection, touched)


def _series_ids(connection: Connection, job_id: str, attempt: int, names: Iterable[str]) -> dict[str, int]:
    wanted = list(dict.fromkeys(names))
    mine = (series.c.job_id == job_id) & (series.c.attempt == attempt) & series.c.name.in_(wanted)
    ids: dict[str, int] = {row.name: row.id for row in connection.execute(select(series).where(mine))}
    for name in wanted:
        if name not in ids:
            statement = insert(series).values(job_id=job_id, attempt=attempt, name=name).returning(series.c.id)
            ids[name] = connection.execute(statement).scalar_one()
    return ids


def _copy(connection: Connection, rows: Sequence[Point]) -> None:
    """COPY into a temporary table, then one upsert, which must not meet the same step twice."""
    newest = {(row[0], row[1]): row for row in rows}
    cursor = cast("Any", connection.connection.driver_connection).cursor()
    with cursor, _driver_errors_as_sqlalchemys(connection):
        cursor.execute(NEW_POINTS_POSTGRES)
        with cursor.copy("COPY new_points (series_id, step, time, value) FROM STDIN") as copy:
            for row in newest.values():
                copy.write_row(row)
        cursor.execute(UPSERT_POSTGRES)


@contextmanager
def _driver_errors_as_sqlalchemys(connection: Connection) -> Generator[None]:
    """So that a lock held too long or a full disk is seen as what it is here too."""
    driver = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        raise DBAPIError.instance("COPY", None, error, driver.Error, dialect=connection.dialect) from error


def _roll_up(connection: Connection, touched: Sequence[tuple[int, list[int]]]) -> None:
    for statement, width in ((ROLL_UP_64, WIDTHS[0]), (ROLL_UP_4096, WIDTHS[1])):
        ranges = [
            {"series_id": series_id, "first": first, "end": end}
            for series_id, steps in touched
            for first, end in _ranges(steps, width)
        ]
        connection.execute(statement, ranges)


def _ranges(steps: Iterable[int], width: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole buckets [first, end) that hold all `steps`."""
    buckets = sorted({step // width for step in steps})
    first = last = buckets[0]
    for bucket in buckets[1:]:
        if bucket - last > MERGE_GAP:
            yield first * width, (last + 1) * width
            first = bucket
        last = bucket
    yield first * width, (last + 1) * width
