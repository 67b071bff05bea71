"""New points of series as live events: thinned, and at most one event at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from heimdall.domain.attempt import SeriesPoints
from heimdall.domain.events import EventName, NewEvent

MAX_POINTS = 200


class Values(Protocol):
    """Names with their values; reading them may wait for a device."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[str, float]]: ...


Row = tuple[int, float, Values]  # step, unix time, values by name
Point = tuple[int, float | None]


def by_series(rows: Iterable[Row]) -> list[SeriesPoints]:
    """Points in the order logged, NaN as None (infinities stay)."""
    found: dict[str, SeriesPoints] = {}
    for step, moment, values in rows:
        for name, value in values:
            series = found.get(name)
            if series is None:
                series = found[name] = SeriesPoints(name, [])
            series.points.append((step, moment, None if math.isnan(value) else value))
    return list(found.values())


class LivePoints:
    """Collects points and gives them out as `training:metrics`, the longest waiting series first."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Point]] = {}

    def add(self, new: Sequence[SeriesPoints]) -> None:
        for series in new:
            waiting = self._waiting.setdefault(series.name, [])
            waiting += [
                (step, value if value is not None and math.isfinite(value) else None)
                for step, _, value in series.points
            ]
            if len(waiting) > 8 * MAX_POINTS:
                waiting[:] = thinned(waiting, MAX_POINTS)

    def next_event(self) -> NewEvent | None:
        if not self._waiting:
            return None
        name = next(iter(self._waiting))
        points = self._waiting.pop(name)
        return NewEvent(
            EventName.METRICS,
            {
                "series": name,
                "from_step": min(step for step, _ in points),
                "to_step": max(step for step, _ in points),
                "points": [list(point) for point in thinned(points, MAX_POINTS)],
            },
        )

    def all_events(self) -> list[NewEvent]:
        return list(iter(self.next_event, None))


def thinned(points: list[Point], max_points: int) -> list[Point]:
    """At most `max_points` of them, the least and largest of each stretch among them."""
    if len(points) <= max_points:
        return points
    num_stretches = max_points // 2
    kept: list[Point] = []
    for number in range(num_stretches):
        stretch = range(number * len(points) // num_stretches, (number + 1) * len(points) // num_stretches)
        finite = [index for index in stretch if points[index][1] is not None] or [stretch[0]]
        lowest = min(finite, key=lambda index: points[index][1] or 0.0)
        highest = max(finite, key=lambda index: points[index][1] or 0.0)
        kept += [points[index] for index in sorted({lowest, highest})]
    return kept
