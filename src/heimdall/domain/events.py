"""The event log's words: one list per job, numbered from 1 without holes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventName(StrEnum):
    CREATED = "training:created"
    QUEUED = "training:queued"
    RESUMED = "training:resumed"
    PHASE = "training:phase"
    STARTED = "training:started"
    PROGRESS = "training:progress"
    CHECKPOINT = "training:checkpoint"
    METRICS = "training:metrics"
    LOG = "training:log"
    SYSTEM = "training:system"
    REQUESTED = "training:requested"
    WARNING = "training:warning"
    RECOVERED = "training:recovered"
    COMPLETED = "training:completed"
    DELETED = "training:deleted"  # bus and streams only
    GENERATION_PROGRESS = "dataset:generation_progress"


NOT_ON_BUS = frozenset({EventName.METRICS, EventName.LOG, EventName.SYSTEM})


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be stored; `seq`, `job_id`, `attempt` and `timestamp` are added with it.

    For `training:log`, `data["lines"]` holds {time, level, message}; the store numbers them.
    """

    name: EventName
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    event: EventName
    job_id: str
    attempt: int
    timestamp: datetime
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The wire form, the same in every stream. training:deleted has no number: the log is gone."""
        is_in_log = self.event is not EventName.DELETED
        return {
            "seq": self.seq if is_in_log else None,
            "event": self.event.value,
            "job_id": self.job_id,
            "attempt": self.attempt if is_in_log else None,
            "timestamp": utc_text(self.timestamp),
            "data": {"job_id": self.job_id, **self.data},
        }


def deleted_event(job_id: str, moment: datetime) -> Event:
    return Event(0, EventName.DELETED, job_id, 0, moment, {})


def routing_key(name: EventName, job_id: str) -> str:
    """Topic of an event on the message bus, such as `training.progress.{id}`."""
    if name is EventName.GENERATION_PROGRESS:
        return f"dataset.generation.{job_id}"
    return f"{name.value.replace(':', '.')}.{job_id}"


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`."""
    return moment.isoformat().replace("+00:00", "Z")
