"""Storing what a worker reports: one numbered batch, one transaction."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from heimdall.domain.attempt import Artifact, Batch, Checkpoint, EpochRow
from heimdall.domain.events import EventName
from heimdall.domain.job import Job, Phase
from heimdall.store.change import append_events, jobs, update_job, warn
from heimdall.store.columns import finite, non_finite_name
from heimdall.store.files import drop_artifact, put_artifact
from heimdall.store.lease import lease_lost, leased
from heimdall.store.points import check_points, write_points
from heimdall.store.tables import attempts, checkpoints, training_metrics
from heimdall.store.visible import measures_the_machine

SUMMARY_COLUMNS = frozenset(
    {
        "phase",
        "model_architecture",
        "dataset_id",
        "dataset_size",
        "train_samples",
        "val_samples",
        "current_epoch",
        "total_epochs",
        "progress_percent",
        "eta_seconds",
        "train_loss",
        "val_loss",
        "train_accuracy",
        "val_accuracy",
        "learning_rate",
        "metrics",
        "non_finite",
        "best_epoch",
        "best_val_loss",
        "checkpoint_path",
        "onnx_model_path",
        "mlflow_run_id",
    }
)
WARNINGS_ADD = "warnings_add"
METRIC_COLUMNS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate", "gradient_norm")


def write_batch(connection: Connection, job_id: str, token: str, batch: Batch, now: datetime) -> None:
    """Fence, number and identity of the batch in one UPDATE, then its rows.

    Raises:
        LeaseLostError: the attempt no longer holds the job.
        ValueError: the batch itself is wrong, or the one before it is missing.
    """
    check_batch(batch)
    values = {**_summary(batch.summary), "batch": batch.number}
    if batch.checkpoint is not None:
        values["losses_in_row"] = 0
    guard = (*leased(job_id, token), jobs.batch == batch.number - 1)
    events = [event for event in batch.events if event.name is not EventName.WARNING]
    job = update_job(connection, guard, values, events, now)
    if job is None:
        _check_known(connection, job_id, token, batch.number)
        return
    append_events(connection, job, events, now)
    _add_warnings(connection, job, _warnings(batch), now)
    if trains(batch):
        _start_fresh(connection, job)
    if batch.epoch_rows:
        rows = [_metrics_row(job, row) for row in batch.epoch_rows]
        connection.execute(insert(training_metrics), rows)
    if batch.checkpoint is not None:
        _put_checkpoint(connection, job, batch.checkpoint, now)
    _put_artifacts(connection, job.id, batch.artifacts, now)
    write_points(connection, job.id, job.attempt, batch.points)


def check_batch(batch: Batch) -> None:
    """Raises: ValueError for what no database could store, before anything is written."""
    unknown = sorted(batch.summary.keys() - SUMMARY_COLUMNS - {WARNINGS_ADD})
    if unknown:
        raise ValueError(f"A batch cannot set {', '.join(unknown)} of a job.")
    check_points(batch.points)


def trains(batch: Batch) -> bool:
    """Whether the batch holds results of training, which replace those of earlier attempts."""
    if batch.epoch_rows or batch.checkpoint is not None:
        return True
    return any(new.points and not measures_the_machine(new.name) for new in batch.points)


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: finite(value) for name, value in summary.items() if name != WARNINGS_ADD}
    if values.get("phase") is not None:
        values["phase"] = Phase(values["phase"])
    return values


def _warnings(batch: Batch) -> list[str]:
    """The lines to add, told either way; each that is new gets exactly one training:warning."""
    told = [event.data["message"] for event in batch.events if event.name is EventName.WARNING]
    return [*batch.summary.get(WARNINGS_ADD, ()), *told]


def _check_known(connection: Connection, job_id: str, token: str, number: int) -> None:
    """No row passed the guard: fine when this very attempt has committed the batch before."""
    known = connection.execute(select(jobs.batch).where(*leased(job_id, token))).scalar_one_or_none()
    if known is None:
        raise lease_lost(job_id)
    if known < number:
        raise ValueError(f"Batch {number} came after batch {known}: the ones between are missing.")


def _add_warnings(connection: Connection, job: Job, lines: Sequence[str], now: datetime) -> None:
    warnings, events = warn(job.warnings, lines)
    if events:
        changed = update_job(connection, [jobs.id == job.id], {"warnings": warnings}, events, now)
        assert changed is not None, "the row is locked by this transaction"
        append_events(connection, changed, events, now)


def _start_fresh(connection: Connection, job: Job) -> None:
    """Training without having taken over a checkpoint: the attempt starts from nothing."""
    statement = update(attempts).where(
        attempts.c.job_id == job.id, attempts.c.number == job.attempt, attempts.c.from_epoch.is_(None)
    )
    connection.execute(statement.values(from_epoch=0, from_step=0))


def _metrics_row(job: Job, row: EpochRow) -> dict[str, Any]:
    non_finite = {
        name: non_finite_name(value)
        for name, value in row.metrics.items()
        if value is not None and not math.isfinite(value)
    }
    metrics: dict[str, float | None] = finite(dict(row.metrics))
    return {
        "training_job_id": job.id,
        "attempt": job.attempt,
        "epoch": row.epoch,
        "timestamp": row.timestamp,
        "duration_seconds": row.duration_seconds,
        **{name: metrics.pop(name, None) for name in METRIC_COLUMNS},
        "metrics": metrics,
        "non_finite": {**non_finite, **row.non_finite},
    }


def _put_checkpoint(connection: Connection, job: Job, checkpoint: Checkpoint, now: datetime) -> None:
    connection.execute(
        insert(checkpoints).values(
            job_id=job.id,
            attempt=job.attempt,
            epoch=checkpoint.epoch,
            step=checkpoint.step,
            key=checkpoint.file.key,
            size_bytes=checkpoint.file.size_bytes,
            sha256=checkpoint.file.sha256,
            val_loss=finite(checkpoint.val_loss),
            manifest=checkpoint.manifest,
            created_at=now,
            is_deleted=False,
        )
    )


def _put_artifacts(connection: Connection, job_id: str, named: Mapping[str, Artifact | None], now: datetime) -> None:
    for name, artifact in named.items():
        if artifact is None:
            drop_artifact(connection, job_id, name)
        else:
            put_artifact(connection, job_id, artifact, now)
