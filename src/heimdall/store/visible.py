"""Which results of which attempt are shown.

An attempt owns the curve from where it took over. So attempt a shows what lies behind its own start and at or before
the smallest start of any later attempt; what it wrote beyond that is superseded, stays stored, and is never rewritten.
An attempt starts where `took_over` says; one that trains without having called it starts from nothing and supersedes
everything before; one that ended before it trained has no start and supersedes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from heimdall.store.tables import attempts

MACHINE = "system/"
END = 1 << 62  # beyond every step and epoch, and a multiple of every bucket width


@dataclass(frozen=True, slots=True)
class Start:
    """Where an attempt took over; zeros: from nothing."""

    attempt: int
    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class Window:
    """What is visible of one attempt: epochs and steps in half-open ranges [first, end)."""

    attempt: int
    first_epoch: int
    end_epoch: int
    first_step: int
    end_step: int


def measures_the_machine(series_name: str) -> bool:
    """`system/…` tells of the machine, not of the model: no attempt supersedes another's."""
    return series_name.startswith(MACHINE)


def windows(starts: Sequence[Start]) -> list[Window]:
    """The windows of the attempts that have trained, given in order; empty ones left out."""
    found: list[Window] = []
    end_epoch = end_step = END
    for start in reversed(starts):
        is_fresh = start.epoch == 0 and start.step == 0
        first_epoch = 0 if is_fresh else start.epoch + 1
        first_step = 0 if is_fresh else start.step + 1
        window = Window(start.attempt, first_epoch, end_epoch, first_step, end_step)
        if first_epoch < end_epoch or first_step < end_step:
            found.append(window)
        end_epoch, end_step = min(end_epoch, first_epoch), min(end_step, first_step)
    return found[::-1]


def visible_windows(connection: Connection, job_id: str) -> list[Window]:
    columns = attempts.c
    statement = (
        select(columns.number, columns.from_epoch, columns.from_step)
        .where(columns.job_id == job_id, columns.from_epoch.is_not(None))
        .order_by(columns.number)
    )
    return windows([Start(*row) for row in connection.execute(statement)])
