"""The newest events of many jobs, found by indexes: what a search costs does not grow with the log."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select, union_all

from heimdall.domain.events import Event, EventName
from heimdall.store.pairs import among
from heimdall.store.tables import job_events, training_jobs

MAX_SEARCHED = 50_000  # events of certain jobs that are looked through
log = job_events.c
jobs = training_jobs.c
Place = tuple[str, int]  # job id and seq


def newest_events(
    connection: Connection, names: Sequence[EventName], job_ids: Sequence[str] | None, limit: int
) -> list[Place]:
    """Places of the newest `limit` events of these names, oldest first, by the times written in them.

    With `job_ids` only the newest `MAX_SEARCHED` events of these jobs, shared equally, are searched.
    """
    if not names or (job_ids is not None and not job_ids):
        return []
    found = _of_all_jobs(names, limit) if job_ids is None else _of_jobs(names, job_ids)
    columns = found.subquery().c
    newest_first = (columns.timestamp.desc(), columns.job_id.desc(), columns.seq.desc())
    statement = select(columns.job_id, columns.seq).order_by(*newest_first).limit(limit)
    return [(row.job_id, row.seq) for row in connection.execute(statement)][::-1]


def events_at(connection: Connection, places: Sequence[Place]) -> list[Event]:
    """In the order of `places`; those that are gone are left out."""
    columns = (log.seq, log.event, log.job_id, log.attempt, log.timestamp, log.data)
    if not places:
        return []
    statement = among(select(*columns), (log.job_id, log.seq), places)
    found = {(row.job_id, row.seq): Event(*row) for row in connection.execute(statement)}
    return [found[place] for place in places if place in found]


def _of_all_jobs(names: Sequence[EventName], limit: int) -> Select[Any, Any, Any]:
    """The newest of each name, which one index holds in order; without those of deleted jobs."""
    is_there = select(jobs.id).where(jobs.id == log.job_id).exists()
    newest = [
        select(log.job_id, log.seq, log.timestamp)
        .where(log.event == name, is_there)
        .order_by(log.timestamp.desc())
        .limit(limit)
        .subquery()
        for name in names
    ]
    parts = [select(one.c.job_id, one.c.seq, one.c.timestamp) for one in newest]
    together = union_all(*parts).subquery().c
    return select(together.job_id, together.seq, together.timestamp)


def _of_jobs(names: Sequence[EventName], job_ids: Sequence[str]) -> Select[Any, Any, Any]:
    depth = max(MAX_SEARCHED // len(job_ids), 1)
    return (
        select(log.job_id, log.seq, log.timestamp)
        .join(training_jobs, jobs.id == log.job_id)
        .where(jobs.id.in_(job_ids), log.seq > jobs.event_seq - depth, log.event.in_(names))
    )
