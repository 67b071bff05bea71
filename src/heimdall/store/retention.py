"""Emptying the bulky events of jobs that ended long ago. Their numbers stay, so that no stream shows a hole."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from heimdall.domain.events import EventName
from heimdall.domain.job import Status
from heimdall.store.files import insert_if_new
from heimdall.store.tables import emptied_events, job_events, training_jobs

SLICE = 20_000  # numbers a transaction
EMPTY: dict[EventName, dict[str, Any]] = {  # what a reader of the event takes for granted stays
    EventName.METRICS: {"points": []},
    EventName.LOG: {"lines": []},
    EventName.SYSTEM: {},
}


def empty_slice(connection: Connection, before: datetime) -> bool:
    """Empty some events of one job that ended `before` then; False when there are none left to empty."""
    job, emptied = training_jobs.c, emptied_events.c
    done: ColumnElement[int] = func.coalesce(emptied.through, 0)
    statement = (
        select(job.id, job.event_seq, done.label("done"))
        .select_from(training_jobs.outerjoin(emptied_events, emptied.job_id == job.id))
        .where(job.status.in_([status for status in Status if status.is_ended]))
        .where(job.completed_at < before, job.event_seq > done)
        .order_by(job.completed_at)
        .limit(1)
    )
    found = connection.execute(statement).one_or_none()
    if found is None:
        return False
    through = min(found.event_seq, found.done + SLICE)
    event = job_events.c
    mine = and_(event.job_id == found.id, event.seq > found.done, event.seq <= through)
    for name, data in EMPTY.items():
        # Without its first line an event is no place to look for lines (`logs`).
        connection.execute(update(job_events).where(mine, event.event == name).values(data=data, first_line=None))
    insert_if_new(connection, emptied_events, {"job_id": found.id, "through": 0})
    connection.execute(update(emptied_events).where(emptied.job_id == found.id).values(through=through))
    return True
