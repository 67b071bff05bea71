"""Changing a job: the one place where `event_seq` grows and where log lines get their numbers.

A change and the events that tell of it are one transaction, and the lock on the job's row gives them their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from heimdall.domain.errors import ConflictError, JobNotFoundError
from heimdall.domain.events import Event, EventName, NewEvent
from heimdall.domain.job import Job
from heimdall.store.changes import next_change
from heimdall.store.engine import TOLD
from heimdall.store.tables import job_events, training_jobs

jobs = training_jobs.c
JOB_FIELDS = tuple(field.name for field in fields(Job))
EVENT_FIELDS = ("seq", "event", "job_id", "attempt", "timestamp", "data")


def job_of(row: RowMapping) -> Job:
    return Job(**{name: row[name] for name in JOB_FIELDS})


def read_job(connection: Connection, job_id: str) -> Job:
    """Raises: JobNotFoundError."""
    row = connection.execute(select(training_jobs).where(jobs.id == job_id)).mappings().one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    return job_of(row)


def lock_job(connection: Connection, job_id: str) -> Job:
    """The job as it is now; nobody else changes it before this transaction ends. Raises: JobNotFoundError."""
    statement = select(training_jobs).where(jobs.id == job_id).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    return job_of(row)


def change_job(
    connection: Connection, seen: Job, values: Mapping[str, Any], events: Sequence[NewEvent], now: datetime
) -> Job:
    """Change a locked job and append `events`; the guard says again what the decision rested on."""
    guard = (
        jobs.id == seen.id,
        jobs.status == seen.status,
        jobs.lease_token.is_not_distinct_from(seen.lease_token),
        jobs.requested.is_not_distinct_from(seen.requested),
    )
    job = update_job(connection, guard, values, events, now)
    if job is None:
        raise ConflictError(f"Training job {seen.id} was changed by somebody else; look at it and try again.")
    append_events(connection, job, events, now)
    return job


def update_job(
    connection: Connection,
    guard: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
    events: Sequence[NewEvent],
    now: datetime,
) -> Job | None:
    """The guarded UPDATE, making room for `events` (see `append_events`); None when no row passed the guard."""
    statement = (
        update(training_jobs)
        .where(*guard)
        .values(
            updated_at=now,
            changed=next_change(connection),
            event_seq=jobs.event_seq + len(events),
            log_lines=jobs.log_lines + num_lines(events),
            **values,
        )
        .returning(training_jobs)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else job_of(row)


def append_events(connection: Connection, job: Job, events: Sequence[NewEvent], now: datetime) -> None:
    """Store `events` as the newest of `job`, which `update_job` has counted already."""
    if not events:
        return
    seq = job.event_seq - len(events)
    line = job.log_lines - num_lines(events)
    rows: list[dict[str, Any]] = []
    for new in events:
        seq += 1
        first_line, data = None, new.data
        if new.name is EventName.LOG:
            first_line = line + 1
            data = {**data, "lines": [{"line": first_line + i, **item} for i, item in enumerate(data["lines"])]}
            line += len(data["lines"])
        rows.append(
            {
                "job_id": job.id,
                "seq": seq,
                "event": new.name,
                "attempt": job.attempt,
                "timestamp": now,
                "data": data,
                "first_line": first_line,
            }
        )
    connection.execute(insert(job_events), rows)
    tell(connection, [Event(**{name: row[name] for name in EVENT_FIELDS}) for row in rows])


def tell(connection: Connection, events: Sequence[Event]) -> None:
    """Have the message bus and PostgreSQL's listeners hear of these events once they are committed."""
    connection.info.get(TOLD, []).extend(events)
    if connection.dialect.name != "postgresql":
        return
    newest = events[-1]
    is_deleted = newest.event is EventName.DELETED
    notify(connection, "heimdall_events", f"{newest.job_id}:{'deleted' if is_deleted else newest.seq}")
    if any(event.event is EventName.QUEUED for event in events):
        notify(connection, "heimdall_queue", newest.job_id)


def notify(connection: Connection, channel: str, payload: str) -> None:
    connection.execute(select(func.pg_notify(channel, payload)))


def num_lines(events: Sequence[NewEvent]) -> int:
    return sum(len(new.data["lines"]) for new in events if new.name is EventName.LOG)


def warn(warnings: Sequence[str], new: Sequence[str]) -> tuple[list[str], list[NewEvent]]:
    """The warnings with those of `new` that are not there yet, and an event for each of these."""
    added = [line for line in dict.fromkeys(new) if line not in warnings]
    return [*warnings, *added], [NewEvent(EventName.WARNING, {"message": line}) for line in added]
