"""Follows one job on the terminal (a live bar), in a pipe (a line an epoch) or as JSON (an event a line)."""

import re
import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from heimdall.cli.best_metric import best_metric_in
from heimdall.cli.event_lines import Remaining, change_text, ending_of, metrics_text, status_after
from heimdall.cli.exits import exit_code_of_status
from heimdall.cli.output import clean_line, duration_text, print_json
from heimdall.cli.terminal import is_terminal
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


def watch_job(
    client: HeimdallClient, job_id: str, *, as_json: bool = False, after: int | None, has_own_service: bool = False
) -> int:
    """Show what happens to a job until it has ended; the exit code.

    Events up to number `after` are passed over (None: all that the job's present state already tells). On Ctrl-C it
    says what becomes of the job, unless the service ends with the command (`has_own_service`).
    """
    if as_json:
        for event in client.records.follow(job_id, after=after or 0):
            print_json(event)
        return exit_code_of_status(client.jobs.get(job_id)["status"])
    job, trainers = client.jobs.get(job_id), client.trainers()
    view = _bar_view if is_terminal() else LineView
    shown = view(job, best_metric_in(trainers, job))
    start = job["event_seq"] if after is None else after
    try:
        with shown:
            for event in client.records.follow(
                job_id, after=start, types=SHOWN_EVENTS, on_connection=shown.show_connection
            ):
                shown.show(event)
    except KeyboardInterrupt:
        if not has_own_service:
            print(_left_text(job, shown.status), file=sys.stderr)
        raise
    job = client.jobs.get(job_id)
    print(clean_line(ending_of(job, best_metric_in(trainers, job))))
    return exit_code_of_status(job["status"])


def _left_text(job: Job, status: str) -> str:
    stays = {"running": "keeps running", "paused": "stays paused", "queued": "stays in the queue"}
    # A name that a shell would take apart, or that a terminal would obey, cannot be typed as it is.
    word = job["job_name"] if re.fullmatch(r"[\w.][\w.-]*", job["job_name"], re.ASCII) else job["id"][:8]
    kept = f"The job {stays[status]}; " if status in stays else ""
    seen = f"`heimdall resume {word}` continues it" if status == "paused" else f"`heimdall watch {word}` shows it"
    return clean_line(f"{kept}{seen}, `heimdall cancel {word}` stops it.")


class View(AbstractContextManager["View"], Protocol):
    status: str

    def show(self, event: Event) -> None: ...

    def show_connection(self, seconds_left: float | None) -> None:
        """The server does not answer and is given up in so many seconds; None: it answers again."""


class ConnectionLines:
    """One line when the server stops answering, and one when it is back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_away = False

    def show(self, seconds_left: float | None) -> None:
        if (seconds_left is not None) == self._is_away:
            return
        self._is_away = seconds_left is not None
        lost = "" if seconds_left is None else f"lost, trying again (giving up in {duration_text(seconds_left)})"
        print(f"connection {lost or 'is back'}", file=self._stream, flush=True)


class LineView:
    """One plain line for each epoch and each change."""

    def __init__(self, job: Job, best_metric: str) -> None:
        self.status = job["status"]
        self._best_metric = best_metric
        self._connection = ConnectionLines(sys.stdout)
        self._remaining = Remaining()
        self._shown_epoch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show_connection(self, seconds_left: float | None) -> None:
        self._connection.show(seconds_left)

    def show(self, event: Event) -> None:
        self.status = status_after(event["event"], event["data"], self.status)
        if event["event"] == "training:started":  # a new attempt: the time between the two says nothing of the pace
            self._remaining = Remaining()
        line = self._line_of(event["event"], event["data"], event["timestamp"])
        if line:
            print(clean_line(line), flush=True)

    def _line_of(self, name: str, data: dict[str, Any], timestamp: str) -> str | None:
        if name == "training:progress":
            if data["epoch"] == self._shown_epoch:  # the second event of an epoch says that it is the best so far
                return None
            self._shown_epoch = data["epoch"]
            seconds = self._remaining.after(data["epoch"], data["total_epochs"], timestamp)
            rest = "" if seconds is None else f"  eta {duration_text(seconds)}"
            metrics = metrics_text(data["metrics"], self._best_metric)
            return f"epoch {data['epoch']}/{data['total_epochs']}  {metrics}{rest}"
        if name == "dataset:generation_progress":
            return f"generating {data['current']}/{data['total']}"
        return change_text(name, data)


def _bar_view(job: Job, best_metric: str) -> View:
    from heimdall.cli.live_bar import BarView, can_redraw  # Rich takes a while to import

    return BarView(job, best_metric) if can_redraw() else LineView(job, best_metric)
