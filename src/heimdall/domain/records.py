"""What stores are asked with and what they answer with, where that is no entity of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from heimdall.domain.job import JobSummary, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    statuses: Sequence[Status] = ()
    kind: str | None = None
    tags: Sequence[str] = ()  # jobs that have all of them
    q: str | None = None  # part of job_name, notes or id
    sort: str = "-created_at"  # created_at, updated_at, job_name, status, val_loss, priority; `-` descends
    limit: int = 50
    offset: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    jobs: list[JobSummary]
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Oldest:
    """Since when the longest waiting queued job waits, and the oldest heartbeat among running jobs."""

    queued_at: datetime | None
    heartbeat_at: datetime | None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    key: str
    body_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    name: str
    host: str
    slots: int
    devices: list[str]
    running: list[str]  # job ids
    seen_at: datetime
    counter: int


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """Up to where a reader knows the changes of all jobs; only the store reads what it means."""

    number: int
    job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSummary:
    name: str
    points: int
    last: float | None
    min: float | None
    max: float | None
