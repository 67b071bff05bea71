"""Lines of a job's log, and the events that carry them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from heimdall.domain.events import EventName, NewEvent, utc_text
from heimdall.domain.text import clean

LINE_CHARS = 8 * 1024
EVENT_CHARS = 128 * 1024  # an event stays below the 1 MiB that WebSocket clients and proxies take, whatever its text


def log_line(message: str, level: str = "INFO", moment: datetime | None = None) -> dict[str, Any]:
    return {"time": utc_text(moment or datetime.now(UTC)), "level": level, "message": clean(message)}


def lines_of(text: str, level: str, moment: datetime | None = None) -> list[dict[str, Any]]:
    """All of `text`; what is longer than 8 Ki characters goes over several lines."""
    return [
        log_line(line[at : at + LINE_CHARS], level, moment)
        for line in text.splitlines() or [""]
        for at in range(0, max(1, len(line)), LINE_CHARS)
    ]


def add_lines(events: list[NewEvent], lines: Iterable[Mapping[str, Any]]) -> None:
    """Append `lines` to the last event if it is one of the log, as long as they fit, then to new ones."""
    num_chars = _num_chars(events[-1]) if events and events[-1].name is EventName.LOG else EVENT_CHARS
    for line in lines:
        num_chars += _size(line)
        if num_chars > EVENT_CHARS:
            events.append(NewEvent(EventName.LOG, {"lines": []}))
            num_chars = _size(line)
        events[-1].data["lines"].append(dict(line))


def _num_chars(event: NewEvent) -> int:
    return sum(_size(line) for line in event.data["lines"])


def _size(line: Mapping[str, Any]) -> int:
    return len(line["message"]) + 80  # time, level, number and punctuation
