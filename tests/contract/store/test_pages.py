"""The list at size: each order is walked in an index, and rows are read for the page alone."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from heimdall.domain.job import Job, JobSummary, Status
from heimdall.domain.ports import Stores
from heimdall.domain.records import JobFilter
from heimdall.store import Database
from heimdall.store.pages import SORTS
from heimdall.store.tables import training_jobs
from tests.contract.store.making import created

NUM_JOBS = 2_000
ORDERS = [sign + name for name in SORTS for sign in ("", "-")]
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "offset": {"offset": NUM_JOBS // 4},
    "status": {"statuses": [Status.PENDING]},
    "statuses": {"statuses": [Status.PENDING, Status.PAUSED]},
    "kind": {"kind": "localization"},
    "tag": {"tags": ["common"]},
    "q": {"q": "JOB"},
}


@pytest.fixture
def many(database: Database, stores: Stores) -> Stores:
    """Many copies of one job that differ in what lists are sorted by."""
    first = created(stores, tags=["common"])
    columns = [column.name for column in training_jobs.columns]
    differing = {
        "id": "substr(id, 1, 24) || substr('000000000000' || n, length('000000000000' || n) - 11)",
        "job_name": "job_name || n",
        "priority": "n % 5",
        "val_loss": "CASE WHEN n % 7 > 0 THEN n / 9.0 END",
    }
    names, values = ", ".join(columns), ", ".join(differing.get(name, name) for name in columns)
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"

    def copy(connection: Connection) -> None:
        jobs = f"INSERT INTO training_jobs ({names}) {numbers} SELECT {values} FROM training_jobs, numbers"  # noqa: S608
        connection.execute(text(jobs), {"count": NUM_JOBS})
        for statement in (
            "INSERT INTO job_tags (tag, job_id) SELECT 'common', id FROM training_jobs WHERE id <> :id",
            "INSERT INTO job_texts (job_id, folded) SELECT id, lower(job_name) FROM training_jobs WHERE id <> :id",
        ):
            connection.execute(text(statement), {"id": first.id})

    database.write(copy)
    if database.dialect == "postgresql":  # what autovacuum does within a minute
        with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE training_jobs, job_tags, job_texts"))
    return stores


@pytest.fixture
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What was sent to the reader's connections, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.reader, "before_cursor_execute", note)
    yield sent
    event.remove(database.reader, "before_cursor_execute", note)


def plan_of(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    with database.reader.connect() as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters))


def test_no_order_and_no_filter_sorts_jobs_anew(
    many: Stores, database: Database, statements: list[tuple[str, Any]]
) -> None:
    sorted_anew: dict[tuple[str, str], str] = {}
    for order in ORDERS:
        for name, filters in FILTERS.items():
            statements.clear()
            page = many.jobs.page(JobFilter(sort=order, limit=5, **filters))
            assert page.jobs
            after: dict[str, Any] = {"cursor": page.next_cursor, **filters, "offset": 0}
            many.jobs.page(JobFilter(sort=order, limit=5, **after))
            for statement, parameters in list(statements):
                if "ORDER BY" in statement:
                    plan = plan_of(database, statement, parameters)
                    if "TEMP B-TREE" in plan or "Sort" in plan or "Seq Scan on training_jobs" in plan:
                        sorted_anew[order, name] = plan
    assert sorted_anew == {}


def test_a_page_reads_no_column_that_it_does_not_show(many: Stores, statements: list[tuple[str, Any]]) -> None:
    many.jobs.page(JobFilter(limit=500))
    hidden = {field.name for field in fields(Job)} - {field.name for field in fields(JobSummary)}
    assert {"config", "manifest", "metrics"} <= hidden
    for statement, _ in statements:
        assert not {name for name in hidden if f"training_jobs.{name}" in statement}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Ärzte", ["ärzte", "ÄRZTE", "rZT"]),
        ("Привет мир", ["привет", "ПРИВЕТ МИР"]),
        ("ΣΊΣΥΦΟΣ", ["σίσυφος", "Σίσυφος"]),
        ("Straße", ["STRASSE", "straße"]),
        ("I\N{COMBINING DIAERESIS}lot", ["ïlot", "Ï"]),
        ("100%_done", ["100%_D", "%_"]),
    ],
    ids=["german", "russian", "greek", "sharp-s", "combining", "wildcards"],
)
def test_search_ignores_case_in_every_script(stores: Stores, name: str, words: list[str]) -> None:
    created(stores, job_name="Something else")
    found, noted = created(stores, job_name=name), created(stores, notes=f"like {name}")
    for word in words:
        assert {job.id for job in stores.jobs.page(JobFilter(q=word)).jobs} == {found.id, noted.id}, word
    stores.jobs.update(found.id, {"job_name": "new", "notes": "also"})
    assert [job.id for job in stores.jobs.page(JobFilter(q=words[0])).jobs] == [noted.id]
    assert [job.id for job in stores.jobs.page(JobFilter(q="ALSO")).jobs] == [found.id]


@pytest.mark.parametrize("word", ["a\0b", "\ud800", "\n"], ids=["nul", "surrogate", "line"])
def test_a_search_for_what_no_job_can_hold_finds_nothing_or_what_stands_for_it(stores: Stores, word: str) -> None:
    created(stores)
    assert stores.jobs.page(JobFilter(q=word)).total in {0, 1}
