"""Follows one job on the terminal (a live bar), in a pipe (a line an epoch) or as JSON (an event a line)."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from heimdall.cli.event_lines import Remaining, change_text, ending_of, metrics_text
from heimdall.cli.exits import exit_code_of_status
from heimdall.cli.output import duration_text, is_terminal, print_json
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
