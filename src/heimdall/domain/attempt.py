"""What a worker writes about a job: batches, checkpoints, and how an attempt ended."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from heimdall.domain.events import NewEvent
from heimdall.domain.job import Reason, Requested
from heimdall.domain.lifecycle import Action


class ArtifactType(StrEnum):
    CHECKPOINT = "checkpoint"
    CONFIG = "config"
    METRICS = "metrics"
    PREDICTIONS = "predictions"
    MODEL = "model"
    ADAPTER = "adapter"
    LOG = "log"
    OTHER = "other"

    @classmethod
    def of(cls, word: str) -> "ArtifactType":
        """Raises: ValueError, naming all types."""
        if word not in set(cls):
            raise ValueError(f"There is no artifact type {word!r}; a type is one of {', '.join(cls)}.")
        return cls(word)


class CheckpointKind(StrEnum):
    BEST = "best"
    LAST = "last"
    PAUSE = "pause"
    PERIODIC = "periodic"


# Names of artifacts; each points to a file under a key of its own.
BEST_CHECKPOINT = "checkpoints/best_model.pth"
LAST_CHECKPOINT = "checkpoints/last.pth"
PREVIOUS_CHECKPOINT = "checkpoints/previous.pth"
PAUSE_CHECKPOINT = "checkpoints/pause_checkpoint.pth"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A complete, durable object in the artifact store."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A name a job's user knows, pointing to a write-once key."""

    name: str
    file: StoredFile
    artifact_type: ArtifactType
    created_at: datetime | None = None  # set by the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One saved epoch. `row` is the epoch's metrics row; `step` the global batch count at its end."""

    attempt: int
    epoch: int
    step: int
    file: StoredFile
    val_loss: float | None
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    created_at: datetime | None = None
    is_deleted: bool = False  # the file was retired; the manifest stays for the certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One finished epoch, as `GET /jobs/{id}/metrics` shows it. Values are finite floats or None."""

    epoch: int
    metrics: dict[str, float | None]  # train_loss, val_loss, …, learning_rate, gradient_norm
    duration_seconds: float
    timestamp: datetime
    non_finite: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class JobLease:
    """What an attempt shows to prove that the job is its own."""

    job_id: str
    token: str


@dataclass(frozen=True, slots=True)
class SeriesPoints:
    """New points of one series: (step, unix time in seconds, value or None for NaN)."""

    name: str
    points: list[tuple[int, float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Everything one transaction of a worker holds. `number` counts from 1 in each attempt.

    `summary` sets columns of the job by name (current_epoch, train_loss, phase …; `heimdall.store.batches` lists
    them). `warnings_add` in it holds new lines: those not there yet are added, each with its training:warning event
    (a training:warning among `events` means the same). `None` in `artifacts` removes a name. Steps of points are 0
    or more. At most some 20,000 points a batch, so that nobody waits longer than 200 ms.
    """

    number: int
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    epoch_rows: list[EpochRow] = field(default_factory=list[EpochRow])
    checkpoint: Checkpoint | None = None
    points: list[SeriesPoints] = field(default_factory=list[SeriesPoints])
    artifacts: dict[str, Artifact | None] = field(default_factory=dict[str, "Artifact | None"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ends: one of FINISH, FAIL, PAUSED, CANCELLED, RELEASED of the lifecycle table."""

    action: Action
    reason: Reason | None = None
    error_message: str | None = None
    seen: Requested | None = None  # what the worker believed was requested
    pause_checkpoint: Artifact | None = None  # with PAUSED
    log_lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # {time, level, message}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Who takes jobs: one slots loop on one machine."""

    name: str
    host: str
    slots: int
    devices: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One worker's execution of a job. Process identity is (host, pid, process_started)."""

    job_id: str
    number: int
    worker: str
    host: str
    pid: int | None
    process_started: float | None  # seconds since the epoch, as psutil's create_time
    started_at: datetime
    ended_at: datetime | None
    from_epoch: int  # epochs already done when it took over
    from_step: int
    cause: str | None  # how it ended: finished, paused, worker_lost, …
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """What recovery watches of a running job."""

    job_id: str
    lease_token: str
    heartbeat: int
    host: str
    pid: int | None
    process_started: float | None
    attempt: int
    worker: str = ""
