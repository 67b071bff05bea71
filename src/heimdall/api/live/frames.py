"""An event as it goes over the wire. The only place that turns events into text, once for all readers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from heimdall.domain.events import Event, EventName, deleted_event, utc_text
from heimdall.domain.job import Job, Status
from heimdall.domain.text import cut
from heimdall.domain.wire import json_text

MAX_FRAME_BYTES = 1 << 20
LONGEST_TEXT = 64 * 1024  # characters that a text of a frame which is too long keeps at first
FEWEST_FIELDS = 32  # that a mapping keeps: an event's own are fewer
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
    return Frame(event.event, event.job_id, event.seq, event.data, frame_text({**event.as_dict(), **marks}))


def frame_text(body: dict[str, Any]) -> str:
    """At most `MAX_FRAME_BYTES`: in a longer one texts are cut and say so, the whole stays in the log."""
    text = json_text(body)
    max_chars = LONGEST_TEXT
    while len(text) > MAX_FRAME_BYTES // 4 and len(text.encode()) > MAX_FRAME_BYTES and max_chars > 0:
        text = json_text(_shortened(body, max_chars))
        max_chars //= 4
    return text


def _shortened(value: Any, max_chars: int) -> Any:
    """Texts cut to `max_chars`, lists and mappings to about as many items, at any depth."""
    match value:
        case str():
            return cut(value, max_chars)
        case Mapping():
            items = islice(cast("Mapping[str, Any]", value).items(), max(FEWEST_FIELDS, max_chars))
            return {name: _shortened(item, max_chars) for name, item in items}
        case list():
            return [_shortened(item, max_chars) for item in cast("list[Any]", value)[:max_chars]]
        case _:
            return value


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
    return frame_text(body)


def error_text(message: str) -> str:
    return json_text({"event": "error", "message": message, "timestamp": now_text()})


def now_text() -> str:
    return utc_text(datetime.now(UTC))
