"""A dataset: samples on which jobs train, made by a job or by hand."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

DEFAULT_DATASET = "default"


class DatasetStatus(StrEnum):
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One row of `datasets`. `key` is the prefix in the artifact store where its files lie once ready."""

    id: str
    name: str
    status: DatasetStatus
    config: dict[str, Any]
    created_at: datetime
    description: str | None = None
    num_samples: int = 0
    quality: dict[str, Any] = field(default_factory=dict[str, Any])
    size_bytes: int = 0
    sha256: str | None = None
    key: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # {name, size_bytes, sha256}
    job_id: str | None = None
    lease_token: str | None = None
    heartbeat: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetResult:
    """What a finished generation publishes."""

    num_samples: int
    quality: dict[str, Any]
    size_bytes: int
    sha256: str
    key: str
    files: list[dict[str, Any]]
