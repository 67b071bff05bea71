"""The list of jobs: filters, order, and cursors that stay true while jobs are added."""

import base64
import json
import math
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.job import Job, Status
from heimdall.domain.records import JobFilter, JobPage
from heimdall.store.change import job_of, jobs
from heimdall.store.tables import job_tags, training_jobs

SORTS = ("created_at", "updated_at", "job_name", "status", "val_loss", "priority")
LARGEST_NUMBER = 2**63  # of a BIGINT column


def page_of(connection: Connection, query: JobFilter) -> JobPage:
    name, is_descending = query.sort.removeprefix("-"), query.sort.startswith("-")
    if name not in SORTS:
        raise InvalidInputError(f"Jobs can be sorted by {', '.join(SORTS)}, each with - before it to descend.")
    column: ColumnElement[Any] = jobs[name]
    conditions = _conditions(query)
    total = connection.execute(select(func.count()).select_from(training_jobs).where(*conditions)).scalar_one()

    is_null = case((column.is_(None), 1), else_=0)  # jobs without a value come last in both directions
    order = (column.desc(), jobs.id.desc()) if is_descending else (column.asc(), jobs.id.asc())
    statement = select(training_jobs).where(*conditions).order_by(is_null, *order).limit(query.limit + 1)
    if query.cursor is None:
        statement = statement.offset(query.offset)
    else:
        value, job_id = _read_cursor(query.cursor, query.sort)
        statement = statement.where(_after(column, is_descending, value, job_id))
    found = [job_of(row) for row in connection.execute(statement).mappings()]
    shown = found[: query.limit]
    next_cursor = _cursor(shown[-1], query.sort) if len(found) > query.limit and shown else None
    return JobPage(shown, total, next_cursor)


def _conditions(query: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.statuses:
        conditions.append(jobs.status.in_(query.statuses))
    if query.kind is not None:
        conditions.append(jobs.kind == query.kind)
    for tag in query.tags:
        conditions.append(jobs.id.in_(select(job_tags.c.job_id).where(job_tags.c.tag == tag)))
    if query.q:
        columns = (jobs.job_name, jobs.notes, jobs.id)
        conditions.append(or_(*(column.icontains(query.q, autoescape=True) for column in columns)))
    return conditions


def _after(column: ColumnElement[Any], is_descending: bool, value: Any, job_id: str) -> ColumnElement[bool]:
    """Rows behind (value, job_id) in the order of the list."""
    beyond_id = jobs.id < job_id if is_descending else jobs.id > job_id
    if value is None:
        return and_(column.is_(None), beyond_id)
    beyond = column < value if is_descending else column > value
    return or_(column.is_(None), beyond, and_(column == value, beyond_id))


def _cursor(job: Job, sort: str) -> str:
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
