"""Bodies that the server sends. No defaults: a generated client knows what is always there."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from heimdall.domain.attempt import ArtifactType, CheckpointKind
from heimdall.domain.dataset import DatasetStatus
from heimdall.domain.job import Phase, Reason, Requested, Status

Numbers = dict[str, float | None]


class JobSummary(BaseModel):
    id: str
    job_name: str
    kind: str
    status: Status
    requested: Requested | None
    phase: Phase | None
    reason: Reason | None
    priority: int
    tags: list[str]
    parent_job_id: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    current_epoch: int
    total_epochs: int
    progress_percent: float
    eta_seconds: float | None
    train_loss: float | None
    val_loss: float | None
    train_accuracy: float | None
    val_accuracy: float | None
    learning_rate: float | None
    best_epoch: int | None
    best_val_loss: float | None
    error_message: str | None
    dataset_id: str | None
    model_architecture: str | None
    worker: str | None
    attempt: int
    restarts: int
    event_seq: int
    websocket_url: str


class JobBody(JobSummary):
    """`metrics` of the newest epoch; `non_finite` says what a null among them was."""

    notes: str | None
    config: dict[str, Any]
    metrics: Numbers
    non_finite: dict[str, str]
    checkpoint_path: str | None
    pause_checkpoint_path: str | None
    onnx_model_path: str | None
    mlflow_run_id: str | None
    warnings: list[str]
    dataset_size: int | None
    train_samples: int | None
    val_samples: int | None
    celery_task_id: str | None
    max_restarts: int
    heartbeat_at: datetime | None


class JobPageBody(BaseModel):
    jobs: list[JobSummary]
    total: int
    next_cursor: str | None


class JobDetails(BaseModel):
    job: JobBody
    recent_metrics: list[dict[str, Any]]
    websocket_url: str


class PauseAnswer(BaseModel):
    job_id: str
    status: Status
    requested: Requested | None
    current_epoch: int
    total_epochs: int
    message: str


class ResumeAnswer(BaseModel):
    job_id: str
    status: Status
    celery_task_id: str | None
    resume_epoch: int
    total_epochs: int
    message: str


class CancelAnswer(BaseModel):
    job_id: str
    status: Status
    requested: Requested | None
    message: str


class SeriesBody(BaseModel):
    name: str
    points: int
    last: float | None
    min: float | None
    max: float | None


class SeriesBuckets(BaseModel):
    width: int
    buckets: list[dict[str, Any]]


class LogLine(BaseModel):
    line: int
    time: str
    level: str
    message: str


class LogPage(BaseModel):
    lines: list[LogLine]
    next: int


class EventBody(BaseModel):
    seq: int
    event: str
    job_id: str
    attempt: int
    timestamp: datetime
    data: dict[str, Any]


class EventPage(BaseModel):
    events: list[EventBody]
    next: int


class CheckpointBody(BaseModel):
    name: str
    kind: CheckpointKind
    epoch: int
    val_loss: float | None
    size_bytes: int
    sha256: str
    created_at: datetime
    is_best: bool


class ArtifactBody(BaseModel):
    name: str
    size_bytes: int
    created_at: datetime
    artifact_type: ArtifactType
    sha256: str


class ArtifactList(BaseModel):
    artifacts: list[ArtifactBody]
    total_count: int


class TrainerBody(BaseModel):
    kind: str
    title: str
    description: str
    config_schema: dict[str, Any]
    best_metric: str | None


class WorkerBody(BaseModel):
    name: str
    host: str
    slots: int
    devices: list[str]
    running_jobs: list[str]
    last_heard_at: datetime


class GenerationStarted(BaseModel):
    job_id: str
    dataset_id: str
    status: Status
    created_at: datetime
    status_url: str


class DatasetBody(BaseModel):
    id: str
    name: str
    description: str | None
    status: DatasetStatus
    num_samples: int
    config: dict[str, Any]
    quality: dict[str, Any]
    size_bytes: int
    sha256: str | None
    created_at: datetime
    job_id: str | None


class DatasetPage(BaseModel):
    datasets: list[DatasetBody]
    total: int


class SamplePage(BaseModel):
    samples: list[dict[str, Any]]
    total: int
    limit: int
    offset: int


class ApprovalAnswer(BaseModel):
    dataset_id: str
    num_changed: int
    approved: bool
