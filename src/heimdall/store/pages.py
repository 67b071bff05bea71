"""The list of jobs: filters, order, and cursors that stay true while jobs are added."""

import base64
import json
import math
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, UnaryExpression, and_, func, literal, or_, select, tuple_
from sqlalchemy.sql import operators

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.job import JobSummary, Status
from heimdall.domain.records import JobFilter, JobPage
from heimdall.store.change import jobs
from heimdall.store.search import holding
from heimdall.store.tables import job_tags, training_jobs

SORTS = ("created_at", "updated_at", "job_name", "status", "val_loss", "priority")
SHOWN = [field.name for field in fields(JobSummary)]
SUMMARY = [jobs[name] for name in SHOWN]
LARGEST_NUMBER = 2**63  # of a BIGINT column


def page_of(connection: Connection, query: JobFilter) -> JobPage:
    """The page's ids come from an index that holds the order and what filters need; then its own rows are read."""
    name, is_descending = query.sort.removeprefix("-"), query.sort.startswith("-")
    if name not in SORTS:
        raise InvalidInputError(f"Jobs can be sorted by {', '.join(SORTS)}, each with - before it to descend.")
    conditions = _conditions(query, is_sqlite=connection.dialect.name == "sqlite")
    total = connection.execute(select(func.count()).select_from(training_jobs).where(*conditions)).scalar_one()
    ids = list(connection.execute(_ids(query, conditions, name, is_descending)).scalars())
    rows = connection.execute(select(*SUMMARY).where(jobs.id.in_(ids[: query.limit])))
    summaries = (JobSummary(**dict(zip(SHOWN, row, strict=True))) for row in rows)  # twice as fast as by mappings
    found = {summary.id: summary for summary in summaries}
    shown = [found[job_id] for job_id in ids[: query.limit]]
    next_cursor = _cursor(shown[-1], query.sort) if len(ids) > query.limit and shown else None
    return JobPage(shown, total, next_cursor)


def _ids(query: JobFilter, conditions: list[ColumnElement[bool]], name: str, is_descending: bool) -> Select[str]:
    column: ColumnElement[Any] = jobs[name]
    order = column.desc() if is_descending else column.asc()
    if name == "val_loss":  # the only one that may be null; jobs without a value come last in both directions
        order = order.nulls_last()
    by_id = jobs.id.desc() if is_descending else jobs.id.asc()
    statement = select(jobs.id).where(*conditions).order_by(order, by_id).limit(query.limit + 1)
    if query.cursor is None:
        return statement.offset(query.offset)
    value, job_id = _read_cursor(query.cursor, query.sort)
    return statement.where(_after(column, is_descending, value, job_id))


def _conditions(query: JobFilter, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    """SQLite would take the index of a filter and sort what it finds; with + before a column it walks the list's order
    and filters on the way, as PostgreSQL decides by its statistics."""
    job_id, status = (_unindexed(column) if is_sqlite else column for column in (jobs.id, jobs.status))
    conditions: list[ColumnElement[bool]] = []
    if query.statuses:
        conditions.append(status.in_(query.statuses))
    if query.kind is not None:
        conditions.append(jobs.kind == query.kind)
    for tag in query.tags:
        conditions.append(job_id.in_(select(job_tags.c.job_id).where(job_tags.c.tag == tag)))
    if query.q:
        conditions.append(job_id.in_(holding(query.q)))
    return conditions


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return UnaryExpression(column, operator=operators.custom_op[Any]("+"), type_=column.type)


def _after(column: ColumnElement[Any], is_descending: bool, value: Any, job_id: str) -> ColumnElement[bool]:
    """Rows behind (value, job_id) in the order of the list."""
    if value is None:
        return and_(column.is_(None), jobs.id < job_id if is_descending else jobs.id > job_id)
    place, here = tuple_(column, jobs.id), tuple_(literal(value, column.type), literal(job_id, jobs.id.type))
    beyond = place < here if is_descending else place > here
    return or_(column.is_(None), beyond) if column.name == "val_loss" else beyond


def _cursor(job: JobSummary, sort: str) -> str:
    value = getattr(job, sort.removeprefix("-"))
    if isinstance(value, datetime):
        value = value.isoformat()
    return base64.urlsafe_b64encode(json.dumps([sort, value, job.id]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, sort: str) -> tuple[Any, str]:
    try:
        known_sort, value, job_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if known_sort != sort or not isinstance(job_id, str):
            raise ValueError(cursor)
        return _typed(value, sort.removeprefix("-")), job_id
    except (ValueError, TypeError, RecursionError):
        raise InvalidInputError(
            "The cursor does not belong to this list; start without one, with the same sort and filters."
        ) from None


def _typed(value: Any, name: str) -> Any:
    """The value as the column's type; a cursor comes from outside and may hold anything. Raises: ValueError."""
    match name, value:
        case "created_at" | "updated_at", str():
            return _moment(value)
        case "priority", int() if not isinstance(value, bool) and abs(value) < LARGEST_NUMBER:
            return value
        case "val_loss", None:
            return None
        case "val_loss", float() if math.isfinite(value):
            return value
        case "status", str():
            return Status(value)
        case "job_name", str():
            return value
        case _:
            raise ValueError(value)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):  # ours are UTC; another zone could also leave the calendar
        raise ValueError(text)
    return moment
