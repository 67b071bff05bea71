"""Many jobs at once, written past the stores."""

from datetime import UTC, datetime

from sqlalchemy import insert

from heimdall.domain.events import EventName
from heimdall.domain.job import Job
from heimdall.store import Database
from heimdall.store.tables import job_events, training_jobs


def seed(database: Database, template: Job, *, jobs: int, events: int) -> None:
    """Many jobs like `template`, with events of one name each but for the first."""
    now = datetime.now(UTC)
    columns = [column for column in training_jobs.c if column.name not in {"id", "celery_task_id"}]
    row = {column.name: getattr(template, column.name, 0) for column in columns}
    ids = [f"job-{number:05d}" for number in range(jobs)]
    with database.writer.begin() as connection:
        connection.execute(insert(training_jobs), [{**row, "id": job_id, "event_seq": events} for job_id in ids])
        for seq in range(1, events + 1):
            event = EventName.RECOVERED if seq == 1 else EventName.PROGRESS
            common = {"seq": seq, "event": event, "attempt": 1, "timestamp": now, "data": {"epoch": seq}}
            connection.execute(insert(job_events), [{**common, "job_id": job_id} for job_id in ids])
