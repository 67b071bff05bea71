"""What one event says in a line of text, and how long the rest will take."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from heimdall.cli.output import clean_line, count_text, duration_text, text_of
from heimdall.client.shapes import Job

FIRST_METRICS = ("train_loss", "val_loss", "val_rmse", "val_accuracy")
STATUS_AFTER = {  # what an event says of the job's status
    "training:queued": "queued",
    "training:resumed": "queued",
    "training:recovered": "queued",
    "training:started": "running",
    "training:progress": "running",
    "dataset:generation_progress": "running",
}


class Remaining:
    """Estimates the time left from the pace of the epochs seen so far."""

    def __init__(self) -> None:
        self._first: tuple[int, datetime] | None = None

    def after(self, epoch: int, total_epochs: int, timestamp: str) -> float | None:
        """Seconds left once `epoch` was done at `timestamp`; None until two epochs were seen."""
        moment = datetime.fromisoformat(timestamp)
        if self._first is None or epoch <= self._first[0]:
            self._first = (epoch, moment)
            return None
        first_epoch, first_moment = self._first
        pace = (moment - first_moment).total_seconds() / (epoch - first_epoch)
        return pace * (total_epochs - epoch)


def status_after(name: str, data: Mapping[str, Any], before: str) -> str:
    """The job's status once an event has happened."""
    if name == "training:completed":
        return str(data["status"])
    return STATUS_AFTER.get(name, before)


def ordered_metrics(metrics: Mapping[str, Any], best_metric: str) -> Iterator[str]:
    """The names of the metrics that have a value: losses, the one that decides which epoch is best, the others."""
    names = dict.fromkeys(("train_loss", "val_loss", best_metric, *FIRST_METRICS, *metrics))
    return (name for name in names if metrics.get(name) is not None)


def metrics_text(metrics: Mapping[str, Any], best_metric: str) -> str:
    names = ordered_metrics(metrics, best_metric)
    return "  ".join(f"{clean_line(name)} {text_of(metrics[name])}" for name in names)


def change_text(name: str, data: Mapping[str, Any]) -> str | None:
    """One line for a change that is no progress; None for what a watcher need not read."""
    match name:
        case "training:started" if data["train_samples"]:
            return f"training on {count_text(data['train_samples'], 'sample')}, validating on {data['val_samples']}"
        case "training:phase" if data["phase"] not in ("training", "validating", "saving"):
            return str(data["phase"]).replace("_", " ")
        case "training:requested":
            return f"{data['requested']} requested" if data["requested"] else "request withdrawn"
        case "training:warning":
            return f"warning: {data['message']}"
        case "training:recovered":
            return f"recovered ({data['reason']}), continues with epoch {data['resume_epoch']}"
        case "training:completed" if data["status"] == "paused":
            return "paused; `heimdall resume` continues it"
        case "training:resumed":
            return f"resumed, continues with epoch {data['resume_epoch']}"
        case _:
            return None


def ending_of(job: Job, best_metric: str) -> str:
    """`completed (finished) after 1:02, best val_loss 0.123 (epoch 7)`."""
    parts = [f"{job['status']} ({job['reason']})" if job["reason"] else job["status"]]
    if job["started_at"] and job["completed_at"]:
        took = datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(job["started_at"])
        parts[0] += f" after {duration_text(took.total_seconds())}"
    if job["best_epoch"]:
        parts.append(f"best {best_metric} {text_of(job['best_val_loss'])} (epoch {job['best_epoch']})")
    if job["error_message"]:
        parts.append(job["error_message"])
    return ", ".join(parts)
