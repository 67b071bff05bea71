"""Storing a new job, once for each idempotency key."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.errors import ConflictError, InvalidInputError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, NewJob, Status
from heimdall.domain.records import IdempotencyKey
from heimdall.store.change import append_events, job_of, read_job, warn
from heimdall.store.changes import next_change
from heimdall.store.datasets import find_dataset, insert_dataset, lock_dataset
from heimdall.store.files import insert_if_new
from heimdall.store.search import put_text
from heimdall.store.tables import idempotency_keys, job_tags, training_jobs

KEY_LIFETIME = timedelta(hours=24)


def create_job(
    connection: Connection,
    new: NewJob,
    *,
    actor: str | None,
    idempotency: IdempotencyKey | None,
    dataset: Dataset | None,
    now: datetime,
) -> tuple[Job, bool]:
    """The stored job and whether it is new. `dataset` is the one the job will make."""
    if idempotency is not None:
        known = _known_job(connection, idempotency, new.id, now)
        if known is not None:
            return known, False
    if dataset is not None:
        if find_dataset(connection, dataset.name) is not None or not insert_dataset(connection, dataset):
            raise ConflictError(f"A dataset named {dataset.name} exists already; choose another name or delete it.")
    elif new.dataset_id is not None:
        _require_ready(connection, new.dataset_id)
    return _insert(connection, new, actor, now), True


def put_tags(connection: Connection, job_id: str, tags: list[str]) -> None:
    connection.execute(delete(job_tags).where(job_tags.c.job_id == job_id))
    rows = [{"job_id": job_id, "tag": tag} for tag in dict.fromkeys(tags)]
    if rows:
        connection.execute(insert(job_tags), rows)


def _known_job(connection: Connection, idempotency: IdempotencyKey, job_id: str, now: datetime) -> Job | None:
    """The job this key made before. Otherwise the key is ours now: of two at once the second waits here."""
    keys = idempotency_keys.c
    connection.execute(delete(idempotency_keys).where(keys.created_at < now - KEY_LIFETIME))
    row = {
        "key": idempotency.key,
        "body_sha256": idempotency.body_sha256,
        "job_id": job_id,
        "created_at": now,
    }
    if insert_if_new(connection, idempotency_keys, row):
        return None
    first = connection.execute(select(idempotency_keys).where(keys.key == idempotency.key)).one()
    if first.body_sha256 != idempotency.body_sha256:
        raise InvalidInputError(
            "This Idempotency-Key was used with another body; send the same body again or choose a new key."
        )
    return read_job(connection, first.job_id)


def _require_ready(connection: Connection, dataset_id: str) -> None:
    dataset = lock_dataset(connection, dataset_id)
    if dataset is not None and dataset.status is DatasetStatus.READY:
        return
    problem = "does not exist" if dataset is None else f"is {dataset.status.value}, not ready"
    message = f"Dataset {dataset_id} {problem}."
    raise InvalidInputError(message, [{"loc": ["config", "dataset_id"], "msg": message}])


def _insert(connection: Connection, new: NewJob, actor: str | None, now: datetime) -> Job:
    warnings, warning_events = warn([], new.warnings)
    data = {"status": Status.PENDING.value, "celery_task_id": None, "resume_epoch": None, "actor": actor}
    created = NewEvent(EventName.CREATED, data)
    events = [created, *warning_events]
    values: dict[str, Any] = {
        **asdict(new),
        "warnings": warnings,
        "status": Status.PENDING,
        "created_at": now,
        "updated_at": now,
        "event_seq": len(events),
        "current_epoch": 0,
        "progress_percent": 0.0,
        "metrics": {},
        "non_finite": {},
        "manifest": {},
        "attempt": 0,
        "restarts": 0,
        "losses_in_row": 0,
        "heartbeat": 0,
        "batch": 0,
        "log_lines": 0,
        "changed": next_change(connection),
    }
    statement = insert(training_jobs).values(**values).returning(training_jobs)
    job = job_of(connection.execute(statement).mappings().one())
    put_tags(connection, job.id, new.tags)
    put_text(connection, job.id, job.job_name, job.notes)
    append_events(connection, job, events, now)
    return job
