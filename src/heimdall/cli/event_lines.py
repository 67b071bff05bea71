"""What one event says in a line of text, and how long the rest will take."""

from datetime import datetime
from typing import Any

from heimdall.cli.output import duration_text, text_of
from heimdall.client.shapes import Job

FIRST_METRICS = ("train_loss", "val_loss", "val_accuracy", "val_rmse")


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


def metrics_text(metrics: dict[str, Any]) -> str:
    return "  ".join(f"{name} {text_of(metrics[name])}" for name in FIRST_METRICS if metrics.get(name) is not None)


def change_text(name: str, data: dict[str, Any]) -> str | None:
    """One line for a change that is no progress; None for what a watcher need not read."""
    match name:
        case "training:started":
            return f"training on {data['train_samples']} samples, validating on {data['val_samples']}"
        case "training:phase" if data["phase"] not in ("training", "validating", "saving"):
            return str(data["phase"]).replace("_", " ")
        case "training:requested":
            return f"{data['requested']} requested" if data["requested"] else "request taken back"
        case "training:warning":
            return f"warning: {data['message']}"
        case "training:recovered":
            return f"recovered ({data['reason']}), goes on with epoch {data['resume_epoch']}"
        case "training:completed" if data["status"] == "paused":
            return "paused; `heimdall resume` lets it go on"
        case "training:resumed":
            return f"resumed, goes on with epoch {data['resume_epoch']}"
        case _:
            return None


def ending_of(job: Job) -> str:
    """`completed (finished) after 1:02, best epoch 7, best_val_loss 0.123`."""
    parts = [f"{job['status']} ({job['reason']})" if job["reason"] else job["status"]]
    if job["started_at"] and job["completed_at"]:
        took = datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(job["started_at"])
        parts[0] += f" after {duration_text(took.total_seconds())}"
    if job["best_epoch"]:
        parts.append(f"best epoch {job['best_epoch']}, best val_loss {text_of(job['best_val_loss'])}")
    if job["error_message"]:
        parts.append(job["error_message"])
    return ", ".join(parts)
