"""A live bar on the terminal: a finished line for each epoch above it, losses and time left beside it."""

import time
from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text
from typing_extensions import override

from heimdall.cli.event_lines import Remaining, change_text, metrics_text
from heimdall.cli.output import duration_text
from heimdall.client.shapes import Event, Job


class BarView:
    def __init__(self, job: Job) -> None:
        self._remaining = Remaining()
        self._shown_epoch = job["current_epoch"]
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[losses]}"),
            _TimeLeftColumn(),
        )
        self._task = self._progress.add_task(
            str(job["phase"] or job["status"]).replace("_", " "),
            total=job["total_epochs"] or None,
            completed=job["current_epoch"],
            losses=metrics_text(job["metrics"]),
            ends_at=None,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        name, data = event["event"], event["data"]
        if name == "training:progress":
            self._show_epoch(data, event["timestamp"])
        elif name == "dataset:generation_progress":
            self._update(description="generating", completed=data["current"], total=data["total"])
        else:
            if name == "training:started":  # a new attempt: the time between the two says nothing of the pace
                self._remaining = Remaining()
            if "phase" in data:
                self._update(description=str(data["phase"]).replace("_", " "))
            line = None if name == "training:phase" else change_text(name, data)
            if line:
                self._progress.console.print(escape(line))

    def _show_epoch(self, data: dict[str, Any], timestamp: str) -> None:
        if data["epoch"] == self._shown_epoch:  # the second event of an epoch says that it is the best so far
            return
        self._shown_epoch = data["epoch"]
        losses = metrics_text(data["metrics"])
        seconds = self._remaining.after(data["epoch"], data["total_epochs"], timestamp)
        ends_at = None if seconds is None else time.monotonic() + seconds
        self._update(
            description="training",
            completed=data["epoch"],
            total=data["total_epochs"],
            losses=escape(losses),
            ends_at=ends_at,
        )
        self._progress.console.print(f"epoch {data['epoch']:>3}  {escape(losses)}", highlight=False)

    def _update(self, **fields: Any) -> None:
        self._progress.update(self._task, **fields)


class _TimeLeftColumn(ProgressColumn):
    @override
    def render(self, task: Task) -> Text:
        ends_at: float | None = task.fields.get("ends_at")
        return Text("" if ends_at is None else f"{duration_text(max(0.0, ends_at - time.monotonic()))} left")
