"""Rows found by pairs of values."""

from typing import Any

import pytest
from sqlalchemy import Column, select

from heimdall.store import Database, open_database
from heimdall.store.pairs import among
from heimdall.store.tables import job_events, points

KEYS = [(points.c.step, points.c.series_id), (job_events.c.job_id, job_events.c.seq)]


@pytest.mark.parametrize("keys", KEYS, ids=["points", "events"])
def test_they_are_found_by_the_index_of_the_two(sqlite_url: str, keys: tuple[Column[Any], Column[Any]]) -> None:
    """SQLite would read all of a table for `(a, b) IN (VALUES …)`."""
    database = open_database(sqlite_url)
    pairs = [("1", 2), ("3", 4)] if keys[0] is job_events.c.job_id else [(1, 2), (3, 4)]
    with database.reader.connect() as connection:
        query = among(select(*keys), keys, pairs).compile(connection, compile_kwargs={"literal_binds": True})
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    database.close()
    assert f"SCAN {keys[0].table.name}" not in plan
    assert any(step.startswith(f"SEARCH {keys[0].table.name} USING") for step in plan), plan


def test_only_these_are_found(database: Database) -> None:
    """On both databases, with the types of the columns."""
    pairs = [(step, 1) for step in range(5_000)]
    statement = among(select(points.c.step), (points.c.step, points.c.series_id), pairs)
    assert database.read(lambda connection: connection.execute(statement).all()) == []
