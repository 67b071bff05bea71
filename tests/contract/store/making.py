"""Jobs, batches and files for tests."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from heimdall.domain.attempt import (
    Artifact,
    ArtifactType,
    Batch,
    Checkpoint,
    EpochRow,
    JobLease,
    Outcome,
    SeriesPoints,
    StoredFile,
    WorkerInfo,
)
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, NewJob, Requested
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores

WORKER = WorkerInfo(name="worker-1", host="here", slots=1, devices=["cpu"])
PAUSE_CHECKPOINT = "checkpoints/pause_checkpoint.pth"


def new_job(**fields: Any) -> NewJob:
    defaults: dict[str, Any] = {
        "id": str(uuid4()),
        "job_name": "A job",
        "kind": "localization",
        "config": {"epochs": 10},
        "total_epochs": 10,
    }
    return NewJob(**(defaults | fields))


def created(stores: Stores, **fields: Any) -> Job:
    return stores.jobs.create(new_job(**fields))[0]


def queued(stores: Stores, **fields: Any) -> Job:
    job = stores.jobs.dispatch(created(stores, **fields).id, str(uuid4()))
    assert job is not None
    return job


def claimed(stores: Stores, job_id: str) -> Job:
    job = stores.attempts.claim(WORKER, free_gpus=0, job_id=job_id)
    assert job is not None
    return job


def running(stores: Stores, **fields: Any) -> Job:
    return claimed(stores, queued(stores, **fields).id)


def again(stores: Stores, job_id: str) -> Job:
    """A pending job, dispatched and claimed."""
    assert stores.jobs.dispatch(job_id, str(uuid4())) is not None
    return claimed(stores, job_id)


def token(job: Job) -> str:
    assert job.lease_token is not None
    return job.lease_token


def lease(job: Job) -> JobLease:
    return JobLease(job.id, token(job))


def stored_file(key: str) -> StoredFile:
    return StoredFile(key=key, size_bytes=10, sha256="0" * 64)


def pause_artifact(key: str) -> Artifact:
    return Artifact(name=PAUSE_CHECKPOINT, file=stored_file(key), artifact_type=ArtifactType.CHECKPOINT)


def epoch_batch(job: Job, number: int, epoch: int, *, step: int | None = None, **fields: Any) -> Batch:
    """What a worker writes when an epoch is safe."""
    return Batch(
        number=number,
        events=[NewEvent(EventName.PROGRESS, {"epoch": epoch})],
        summary={"current_epoch": epoch, "train_loss": 1.0 / epoch},
        epoch_rows=[epoch_row(epoch, train_loss=float(job.attempt))],
        checkpoint=checkpoint(job, epoch, step if step is not None else epoch * 100),
        **fields,
    )


def epoch_row(epoch: int, **metrics: float | None) -> EpochRow:
    return EpochRow(epoch=epoch, metrics=dict(metrics), duration_seconds=1.5, timestamp=datetime.now(UTC))


def checkpoint(job: Job, epoch: int, step: int) -> Checkpoint:
    key = f"{job.id}/a{job.attempt}/e{epoch}/last.pth"
    return Checkpoint(
        attempt=job.attempt, epoch=epoch, step=step, file=stored_file(key), val_loss=0.5, manifest={"s": 1}
    )


def points_batch(number: int, name: str, steps: dict[int, float | None]) -> Batch:
    points = [(step, float(step), value) for step, value in steps.items()]
    return Batch(number=number, points=[SeriesPoints(name, points)])


def log_lines(*levels: str) -> list[dict[str, Any]]:
    return [{"time": "2026-01-01T00:00:00Z", "level": level, "message": f"{level} line"} for level in levels]


def log_event(*levels: str) -> NewEvent:
    return NewEvent(EventName.LOG, {"lines": log_lines(*levels)})


def paused(stores: Stores, **fields: Any) -> Job:
    """A job that ran one epoch and was paused."""
    job = running(stores, **fields)
    batch = epoch_batch(job, 1, 1)
    stores.attempts.write(job.id, token(job), batch)
    stores.jobs.request(job.id, Requested.PAUSE)
    assert batch.checkpoint is not None
    pause = pause_artifact(batch.checkpoint.file.key)
    outcome = Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=pause)
    return stores.attempts.end(job.id, token(job), outcome)


def new_dataset(**fields: Any) -> Dataset:
    defaults: dict[str, Any] = {
        "id": str(uuid4()),
        "name": f"dataset {uuid4()}",
        "status": DatasetStatus.GENERATING,
        "config": {"num_samples": 10},
        "created_at": datetime.now(UTC),
    }
    return Dataset(**(defaults | fields))
