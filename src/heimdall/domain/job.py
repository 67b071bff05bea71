"""A job: one requested piece of work, as every part of the product sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    PENDING = "pending"  # stored, not handed out yet: the broker cannot be reached
    QUEUED = "queued"  # starts when a slot is free
    RUNNING = "running"  # a worker holds the lease
    PAUSED = "paused"  # stopped at an epoch boundary, nobody holds it
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        """Whether the job has come to its end (only a retry can start it again)."""
        return self in ENDED

    @property
    def holds_dataset(self) -> bool:
        """Whether a job in this status still needs its dataset to exist."""
        return self not in ENDED


ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})


class Requested(StrEnum):
    """What a user asked of a running job and its worker has not done yet."""

    PAUSE = "pause"
    CANCEL = "cancel"


class Phase(StrEnum):
    STARTING = "starting"
    PREPARING_DATA = "preparing_data"
    GENERATING = "generating"
    TRAINING = "training"
    VALIDATING = "validating"
    SAVING = "saving"
    EXPORTING = "exporting"


class Reason(StrEnum):
    """Why a job stopped where it did."""

    FINISHED = "finished"
    EARLY_STOPPED = "early_stopped"
    ERROR = "error"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID_CONFIG = "invalid_config"
    CANCELLED_BY_USER = "cancelled_by_user"
    WORKER_LOST = "worker_lost"
    RESTARTS_EXHAUSTED = "restarts_exhausted"
    CHECKPOINT_DAMAGED = "checkpoint_damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """What a list shows of a job. Times are aware UTC; `id` is a UUID as lower-case text."""

    id: str
    job_name: str
    kind: str
    status: Status
    requested: Requested | None = None
    reason: Reason | None = None
    phase: Phase | None = None
    priority: int = 0
    tags: list[str] = field(default_factory=list[str])
    parent_job_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    updated_at: datetime
    current_epoch: int = 0
    total_epochs: int
    progress_percent: float = 0.0
    eta_seconds: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    learning_rate: float | None = None
    best_epoch: int | None = None
    best_val_loss: float | None = None
    error_message: str | None = None
    dataset_id: str | None = None
    model_architecture: str | None = None
    worker: str | None = None
    attempt: int = 0
    restarts: int = 0
    event_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(JobSummary):
    """One row of `training_jobs`."""

    gpus: int = 0
    notes: str | None = None
    config: dict[str, Any]
    metrics: dict[str, float | None] = field(default_factory=dict[str, float | None])
    non_finite: dict[str, str] = field(default_factory=dict[str, str])
    checkpoint_path: str | None = None
    pause_checkpoint_path: str | None = None
    onnx_model_path: str | None = None
    mlflow_run_id: str | None = None
    warnings: list[str] = field(default_factory=list[str])
    dataset_size: int | None = None
    train_samples: int | None = None
    val_samples: int | None = None
    celery_task_id: str | None = None
    queued_at: datetime | None = None  # when it was handed out last
    max_restarts: int = 3
    losses_in_row: int = 0  # losses since the last new checkpoint; `max_restarts` bounds this
    not_before: datetime | None = None  # back-off: no claim earlier than this
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])  # fixed at the first attempt: threads, dataset, …
    lease_token: str | None = None
    heartbeat: int = 0
    heartbeat_at: datetime | None = None
    batch: int = 0  # number of the newest batch its worker committed in this attempt
    log_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What `create` stores; everything else starts at its default."""

    id: str
    job_name: str
    kind: str
    config: dict[str, Any]
    total_epochs: int
    priority: int = 0
    gpus: int = 0
    tags: list[str] = field(default_factory=list[str])
    notes: str | None = None
    max_restarts: int = 3
    parent_job_id: str | None = None
    dataset_id: str | None = None
    warnings: list[str] = field(default_factory=list[str])


def devices_of(config: Mapping[str, Any]) -> int:
    """How many devices a job trains on: 1 where its kind has a `devices` of its own meaning, such as "auto"."""
    devices = config.get("devices", 1)
    return devices if isinstance(devices, int) and devices > 1 else 1
