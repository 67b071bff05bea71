"""What the server answers, as the wire has it. Times are ISO 8601 text in UTC."""

from typing import Any, Literal, NotRequired, TypedDict

EpochRow = dict[str, Any]  # epoch, attempt, train_loss, val_loss, … and whatever else the trainer reports


class JobSummary(TypedDict):
    id: str
    job_name: str
    kind: str
    status: str
    requested: NotRequired[str | None]
    current_epoch: int
    total_epochs: int
    progress_percent: float
    train_loss: float | None
    val_loss: float | None
    best_epoch: int | None
    best_val_loss: float | None
    dataset_id: str | None
    created_at: str


class Job(JobSummary):
    phase: str | None
    reason: str | None
    priority: int
    tags: list[str]
    notes: str | None
    parent_job_id: str | None
    started_at: str | None
    completed_at: str | None
    updated_at: str
    config: dict[str, Any]
    eta_seconds: float | None
    train_accuracy: float | None
    val_accuracy: float | None
    learning_rate: float | None
    metrics: dict[str, float | None]
    checkpoint_path: str | None
    pause_checkpoint_path: str | None
    error_message: str | None
    warnings: list[str]
    dataset_size: int | None
    train_samples: int | None
    val_samples: int | None
    model_architecture: str | None
    celery_task_id: str | None
    worker: str | None
    attempt: int
    restarts: int
    max_restarts: int
    event_seq: int
    websocket_url: str


class JobPage(TypedDict):
    jobs: list[JobSummary]
    total: int
    next_cursor: str | None


class JobDetails(TypedDict):
    job: Job
    recent_metrics: list[EpochRow]
    websocket_url: str


class ActionAnswer(TypedDict):
    """What pause, resume, cancel and retry answer."""

    job_id: str
    status: str
    message: str
    requested: NotRequired[str | None]
    celery_task_id: NotRequired[str | None]
    resume_epoch: NotRequired[int]
    current_epoch: NotRequired[int]
    total_epochs: NotRequired[int]


class LogLine(TypedDict):
    line: int
    time: str
    level: str
    message: str


class LogPage(TypedDict):
    lines: list[LogLine]
    next: int


class Event(TypedDict):
    seq: int
    event: str
    job_id: str
    attempt: int
    timestamp: str
    data: dict[str, Any]


class EventPage(TypedDict):
    events: list[Event]
    next: int


class SeriesSummary(TypedDict):
    name: str
    points: int
    last: float | None
    min: float | None
    max: float | None


class Bucket(TypedDict):
    step: int
    last_step: int
    time: str | float
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    count: int
    non_finite: int


class SeriesBuckets(TypedDict):
    width: int
    buckets: list[Bucket]


class CheckpointInfo(TypedDict):
    name: str
    kind: Literal["best", "last", "pause", "periodic"]
    epoch: int
    val_loss: float | None
    size_bytes: int
    sha256: str
    created_at: str
    is_best: bool


class ArtifactInfo(TypedDict):
    name: str
    size_bytes: int
    created_at: str
    artifact_type: str
    sha256: str


class TrainerInfo(TypedDict):
    kind: str
    title: str
    description: str
    config_schema: dict[str, Any]
    best_metric: NotRequired[str | None]


class DatasetInfo(TypedDict):
    id: str
    name: str
    description: str | None
    status: str
    num_samples: int
    config: dict[str, Any]
    quality: dict[str, Any]
    size_bytes: int
    sha256: str | None
    created_at: str
    job_id: str | None


class DatasetPage(TypedDict):
    datasets: list[DatasetInfo]
    total: int


class DatasetStarted(TypedDict):
    job_id: str
    dataset_id: str
    status: str
    created_at: str
    status_url: str


class SamplePage(TypedDict):
    samples: list[dict[str, Any]]
    total: int
    limit: int
    offset: int
