"""A live bar on the terminal: finished epochs above it, time left and the newest metrics beside it."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from heimdall.cli.event_lines import Remaining, change_text, ordered_metrics, status_after
from heimdall.cli.output import clean_line, duration_text
from heimdall.cli.terminal import is_unicode
from heimdall.client.shapes import Event, Job

SHORTEST_BAR, LONGEST_BAR = 10, 40
VALUE_WIDTH = 9  # of four digits with a sign of the exponent: 3.567e-05


def can_redraw() -> bool:
    """Whether the terminal can move up and erase; TERM=dumb cannot."""
    return not Console().is_dumb_terminal


class BarView:
    """Draws in place of itself: the newest epoch's line, which may yet be marked as the best, and the bar."""

    def __init__(self, job: Job, best_metric: str) -> None:
        self.status = job["status"]
        self._best_metric = best_metric
        self._phase = job["phase"]
        self._done, self._total = job["current_epoch"], job["total_epochs"]
        self._metrics: Mapping[str, Any] = job["metrics"]
        self._shown_epoch = job["current_epoch"]
        self._newest: tuple[int, bool] | None = None  # the epoch above the bar, and whether it is the best
        self._remaining = Remaining()
        self._ends_at: float | None = None
        self._gives_up_at: float | None = None
        self._spinner = Spinner("dots" if is_unicode() else "line")
        self._console = Console(highlight=False)
        self._live = Live(self, console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line, self._newest = self._epoch_line(), None
        self._live.stop()
        if line is not None:
            self._console.print(line)

    def show(self, event: Event) -> None:
        name, data = event["event"], event["data"]
        self.status = status_after(name, data, self.status)
        if name == "training:progress":
            self._show_epoch(data, event["timestamp"])
            return
        if name == "dataset:generation_progress":
            self._phase, self._done, self._total = "generating", data["current"], data["total"]
            return
        if name == "training:started":  # a new attempt: the time between the two says nothing of the pace
            self._remaining = Remaining()
        if self.status != "running":
            self._ends_at = self._phase = None
        self._phase = data.get("phase", self._phase)
        line = None if name == "training:phase" else change_text(name, data)
        if line:
            self._print_newest()
            self._console.print(Text(clean_line(line)))

    def show_connection(self, seconds_left: float | None) -> None:
        self._gives_up_at = None if seconds_left is None else time.monotonic() + seconds_left
        self._live.refresh()

    def _show_epoch(self, data: Mapping[str, Any], timestamp: str) -> None:
        if data["epoch"] == self._shown_epoch:  # the second event of an epoch says that it is the best so far
            self._newest = self._newest and (data["epoch"], bool(data["is_best"]))
            return
        self._print_newest()
        seconds = self._remaining.after(data["epoch"], data["total_epochs"], timestamp)
        self._ends_at = time.monotonic() + seconds if seconds else None
        self._shown_epoch = self._done = data["epoch"]
        self._total, self._metrics = data["total_epochs"], data["metrics"]
        self._newest = (data["epoch"], bool(data["is_best"]))

    def _print_newest(self) -> None:
        """The newest epoch's line, now that nothing of it will change, goes above what is drawn anew."""
        line, self._newest = self._epoch_line(), None
        if line is not None:
            self._console.print(line)

    def _epoch_line(self) -> Text | None:
        newest = self._newest  # another thread draws
        if newest is None:
            return None
        epoch, is_best = newest
        total = str(self._total)
        head = f"epoch {epoch:>{len(total)}}/{total}  {'best' if is_best else '    '}  "
        return _line(head + self._metrics_that_fit(self._console.width - len(head), is_aligned=True))

    def __rich__(self) -> RenderableType:
        """Made anew whenever Rich draws."""
        newest = self._epoch_line()
        return Group(*([] if newest is None else [newest]), self._bar_line())

    def _bar_line(self) -> RenderableType:
        if self._gives_up_at is not None:
            left = duration_text(max(0.0, self._gives_up_at - time.monotonic()))
            return _line(f"connection lost, trying again (giving up in {left})")
        doing = str(self._phase or "running") if self.status == "running" else self.status
        words = doing.replace("_", " ")
        count = f"{self._done}/{self._total}" if self._total else ""
        left = "" if self._ends_at is None else f"{duration_text(max(0.0, self._ends_at - time.monotonic()))} left"
        room = self._console.width - len("  ".join(("*", words, count, left))) - 2
        metrics = self._metrics_that_fit(room - SHORTEST_BAR - 2, is_aligned=False)
        bar = ProgressBar(
            total=self._total or 1, completed=self._done, width=max(1, min(LONGEST_BAR, room - cell_len(metrics) - 2))
        )
        grid = Table.grid(padding=(0, 1))
        for _ in range(6):
            grid.add_column(no_wrap=True, overflow="crop")
        spinner = self._spinner if self.status == "running" else Text(" ")
        grid.add_row(spinner, Text(words), bar, Text(count), Text(left), Text(metrics))
        return grid

    def _metrics_that_fit(self, width: int, *, is_aligned: bool) -> str:
        text = ""
        for name in ordered_metrics(self._metrics, self._best_metric):
            value = _number_text(self._metrics[name])
            one = f"{clean_line(name)} {value:<{VALUE_WIDTH if is_aligned else 0}}"
            longer = f"{text}  {one}" if text else one
            if cell_len(longer.rstrip()) > width:
                break
            text = longer
        return text.rstrip()


def _number_text(value: float) -> str:
    """Four digits, also when the last are zeros, so that a column of them does not jump."""
    return str(value) if isinstance(value, int) else f"{value:#.4g}".removesuffix(".")


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="crop")
