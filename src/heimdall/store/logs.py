"""Reading log lines: they live in the training:log events and nowhere else."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from heimdall.domain.errors import InvalidInputError
from heimdall.store.tables import job_events

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
RANKS = {level: rank for rank, level in enumerate(LEVELS)} | {"CRITICAL": len(LEVELS)}
EVENTS_AT_ONCE = 200


def lines_of(
    connection: Connection, job_id: str, *, after: int, limit: int, level: str | None
) -> tuple[list[dict[str, Any]], int]:
    """Up to `limit` lines after line `after` of at least `level`, and the number to ask after next."""
    least = _rank(level)
    found: list[dict[str, Any]] = []
    seen = after
    for line in _lines(connection, job_id, after):
        if len(found) == limit:
            break
        seen = line["line"]
        if RANKS.get(str(line.get("level")).upper(), RANKS["INFO"]) >= least:
            found.append(line)
    return found, seen


def _rank(level: str | None) -> int:
    if level is None:
        return 0
    try:
        return RANKS[level.upper()]
    except KeyError:
        raise InvalidInputError(f"Log levels are {', '.join(LEVELS)}, not {level}.") from None


def _lines(connection: Connection, job_id: str, after: int) -> Iterator[dict[str, Any]]:
    """The lines after `after`, read a few events at a time."""
    log = job_events.c
    holds_next = select(func.max(log.first_line)).where(log.job_id == job_id, log.first_line <= after + 1)
    first: int | None = connection.execute(holds_next).scalar_one() or after + 1  # the lines before may be emptied
    while first is not None:
        statement = (
            select(log.first_line, log.data)
            .where(log.job_id == job_id, log.first_line >= first)
            .order_by(log.first_line)
            .limit(EVENTS_AT_ONCE)
        )
        events = connection.execute(statement).all()
        yield from (line for event in events for line in event.data["lines"] if line["line"] > after)
        first = events[-1].first_line + 1 if len(events) == EVENTS_AT_ONCE else None
