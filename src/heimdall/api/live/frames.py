"""An event as it goes over the wire. The only place that turns events into text, once for all readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from heimdall.domain.events import Event, EventName, deleted_event, utc_text
from heimdall.domain.job import Job, Status
from heimdall.domain.wire import json_text

JOB_UPDATE = "training_job_update"
STATUS_ACTIONS = {Status.PAUSED.value: "paused", Status.CANCELLED.value: "cancelled"}
EVENT_ACTIONS = {EventName.CREATED: "created", EventName.QUEUED: "queued", EventName.RESUMED: "resumed"}


@dataclass(frozen=True, slots=True)
class Frame:
    """`seq` is 0 for what is not in the log."""

    name: str
    job_id: str
    seq: int
    data: Mapping[str, Any]
    text: str


def event_frame(event: Event, **marks: bool) -> Frame:
    return Frame(event.event, event.job_id, event.seq, event.data, json_text({**event.as_dict(), **marks}))


def deleted_frame(job_id: str) -> Frame:
    return event_frame(deleted_event(job_id, datetime.now(UTC)))


def job_update_frame(frame: Frame) -> Frame | None:
    """What tells clients to load their list of jobs again, or None when `frame` is no reason for that."""
    if frame.name == EventName.DELETED:
        action = "deleted"
    elif frame.name == EventName.COMPLETED:
        action = STATUS_ACTIONS.get(frame.data.get("status", ""))
    else:
        action = EVENT_ACTIONS.get(EventName(frame.name))
    if action is None:
        return None
    data = {"job_id": frame.job_id, "action": action}
    body = {"event": JOB_UPDATE, "job_id": frame.job_id, "timestamp": now_text(), "data": data}
    return Frame(JOB_UPDATE, frame.job_id, 0, data, json_text(body))


def status_text(job: Job) -> str:
    body: dict[str, Any] = {
        "event": "training_status",
        "job_id": job.id,
        "status": job.status.value,
        "current_epoch": job.current_epoch,
        "total_epochs": job.total_epochs,
        "progress_percent": job.progress_percent,
        "metrics": job.metrics,
        "requested": job.requested,
        "phase": job.phase,
        "eta_seconds": job.eta_seconds,
        "error_message": job.error_message,
        "timestamp": now_text(),
        "seq": job.event_seq,
    }
    if job.non_finite:
        body["non_finite"] = job.non_finite
    return json_text(body)


def error_text(message: str) -> str:
    return json_text({"event": "error", "message": message, "timestamp": now_text()})


def now_text() -> str:
    return utc_text(datetime.now(UTC))
