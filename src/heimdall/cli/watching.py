"""Follows one job on the terminal (a live bar), in a pipe (a line an epoch) or as JSON (an event a line)."""

from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from heimdall.cli.exits import exit_code_of_status
from heimdall.cli.output import duration_text, is_terminal, print_json, text_of
from heimdall.client import HeimdallClient
from heimdall.client.shapes import Event, Job

SHOWN_EVENTS = (
    "training:queued",
    "training:resumed",
    "training:phase",
    "training:started",
    "training:progress",
    "training:requested",
    "training:warning",
    "training:recovered",
    "training:completed",
    "dataset:generation_progress",
)
FIRST_METRICS = ("train_loss", "val_loss", "val_accuracy", "val_rmse")


def watch_job(client: HeimdallClient, job_id: str, *, as_json: bool, after: int | None) -> int:
    """Show what happens to a job until it has ended; the exit code.

    Events up to number `after` are passed over (None: all that the job's present state already tells).
    """
    if as_json:
        for event in client.records.follow(job_id, after=after or 0):
            print_json(event)
        return exit_code_of_status(client.jobs.get(job_id)["status"])
    job = client.jobs.get(job_id)
    start = job["event_seq"] if after is None else after
    with _bar_view(job) if is_terminal() else LineView(job) as view:
        for event in client.records.follow(job_id, after=start, types=SHOWN_EVENTS):
            view.show(event)
    job = client.jobs.get(job_id)
    print(ending_of(job))
    return exit_code_of_status(job["status"])


class View(AbstractContextManager["View"], Protocol):
    def show(self, event: Event) -> None: ...


class LineView:
    """One plain line for each epoch and each change."""

    def __init__(self, job: Job) -> None:
        self._total_epochs = job["total_epochs"]
        self._remaining = Remaining()
        self._shown_epoch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        if event["event"] == "training:started":  # a new attempt: the time between the two says nothing of the pace
            self._remaining = Remaining()
        line = self._line_of(event["event"], event["data"], event["timestamp"])
        if line:
            print(line, flush=True)

    def _line_of(self, name: str, data: dict[str, Any], timestamp: str) -> str | None:
        if name == "training:progress":
            if data["epoch"] == self._shown_epoch:  # the second event of an epoch says that it is the best so far
                return None
            self._shown_epoch = data["epoch"]
            seconds = self._remaining.after(data["epoch"], data["total_epochs"], timestamp)
            rest = "" if seconds is None else f"  eta {duration_text(seconds)}"
            return f"epoch {data['epoch']}/{data['total_epochs']}  {metrics_text(data['metrics'])}{rest}"
        if name == "dataset:generation_progress":
            return f"generating {data['current']}/{data['total']}"
        return change_text(name, data)


def _bar_view(job: Job) -> View:
    from heimdall.cli.live_bar import BarView  # Rich takes a while to import

    return BarView(job)


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
