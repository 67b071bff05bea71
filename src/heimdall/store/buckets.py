"""Reading series thinned to buckets, from points and their roll-ups, over the visible parts of all attempts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select, union_all

from heimdall.domain.errors import NotFoundError
from heimdall.domain.records import SeriesSummary
from heimdall.store.columns import finite
from heimdall.store.pairs import among
from heimdall.store.points import WIDTHS
from heimdall.store.tables import points, rollups, series
from heimdall.store.visible import END, MACHINE, measures_the_machine, visible_windows

LARGEST = 1.7976931348623157e308
LOOK_UP_SLICE = 5_000
PARTS_AT_ONCE = 100  # SQLite joins at most 500 selects


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps [first, end) of one series of one attempt."""

    series_id: int
    first: int
    end: int


@dataclass(slots=True)
class Bucket:
    """`first` and `last` are (step, series_id) of points, whose values are read at the end."""

    count: int
    non_finite: int
    first: tuple[int, int]
    last: tuple[int, int]
    min: float | None
    max: float | None

    def add(self, other: "Bucket") -> None:
        self.count += other.count
        self.non_finite += other.non_finite
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.min = min((value for value in (self.min, other.min) if value is not None), default=None)
        self.max = max((value for value in (self.max, other.max) if value is not None), default=None)


def visible_stretches(connection: Connection, job_id: str) -> dict[str, list[Stretch]]:
    """What is visible of each series, by name."""
    by_attempt = {window.attempt: window for window in visible_windows(connection, job_id)}
    statement = select(series).where(series.c.job_id == job_id).order_by(series.c.name, series.c.attempt)
    found: dict[str, list[Stretch]] = {}
    for row in connection.execute(statement):
        stretches = found.setdefault(row.name, [])
        window = by_attempt.get(row.attempt)
        if measures_the_machine(row.name):
            stretches.append(Stretch(row.id, 0, END))
        elif window is not None and window.first_step < window.end_step:
            stretches.append(Stretch(row.id, window.first_step, window.end_step))
    return found


def summaries_of(connection: Connection, job_id: str) -> list[SeriesSummary]:
    """One line for each series that shows at least one point, by name; how many there are costs no statements."""
    statement = select(series.c.id, series.c.name).where(series.c.job_id == job_id)
    names = {row.id: row.name for row in connection.execute(statement)}
    totals: dict[str, Bucket] = {}
    parts = _visible_parts(connection, job_id)
    for start in range(0, len(parts), PARTS_AT_ONCE):
        for series_id, *sums in connection.execute(union_all(*parts[start : start + PARTS_AT_ONCE])):
            one, name = _bucket(series_id, sums), names[series_id]
            if name in totals:
                totals[name].add(one)
            else:
                totals[name] = one
    values = _values_at(connection, [total.last for total in totals.values()])
    return [
        SeriesSummary(name=name, points=total.count, last=finite(values[total.last][1]), min=total.min, max=total.max)
        for name, total in sorted(totals.items())
    ]


def _visible_parts(connection: Connection, job_id: str) -> list[Select[Any]]:
    """Selects of totals by series: of each attempt's window, and of what measures the machine in all attempts."""
    mine, is_machine = series.c.job_id == job_id, series.c.name.startswith(MACHINE)
    parts = [_totals_by_series(WIDTHS[-1], 0, END).where(mine, is_machine)]
    for window in visible_windows(connection, job_id):
        of_attempt = (mine, ~is_machine, series.c.attempt == window.attempt)
        cuts = cover(window.first_step, window.end_step, WIDTHS)
        parts += [_totals_by_series(*cut).where(*of_attempt) for cut in cuts]
    return parts


def _totals_by_series(unit: int, first: int, end: int) -> Select[Any]:
    table = points if unit == 1 else rollups
    statement = _aggregates(unit, table.c.series_id).join(series, series.c.id == table.c.series_id)
    if unit == 1:
        statement = statement.where(points.c.step >= first, points.c.step < end)
    else:
        bucket = rollups.c.bucket
        statement = statement.where(rollups.c.width == unit, bucket >= first // unit, bucket < end // unit)
    return statement.group_by(table.c.series_id)


def buckets_of(
    connection: Connection, job_id: str, name: str, steps: tuple[int | None, int | None], max_points: int
) -> dict[str, Any]:
    """Buckets over steps start to end, both included. Raises: NotFoundError."""
    start, end = steps
    visible = visible_stretches(connection, job_id)
    if name not in visible:
        raise NotFoundError(f"Training job {job_id} has no series {name}")
    first, last = max(start or 0, 0), END if end is None else min(end + 1, END)
    cut = [Stretch(one.series_id, max(one.first, first), min(one.end, last)) for one in visible[name]]
    stretches = [one for one in cut if one.first < one.end]
    total = _total(connection, stretches)
    if total is None:
        return {"width": 1, "buckets": []}
    width = _width(connection, stretches, total, max_points)
    merged = _merge(connection, stretches, width)
    values = _values_at(connection, [place for one in merged.values() for place in (one.first, one.last)])
    return {"width": width, "buckets": [_shown(number * width, merged[number], values) for number in sorted(merged)]}


def cover(first: int, end: int, widths: Sequence[int]) -> list[tuple[int, int, int]]:
    """[first, end) as parts (unit, first, end): whole buckets of the widest of `widths` inside, finer ones around.

    Unit 1 stands for the points themselves.
    """
    if first >= end:
        return []
    if not widths:
        return [(1, first, end)]
    *finer, unit = widths
    inner_first, inner_end = -(-first // unit) * unit, end // unit * unit
    if inner_first >= inner_end:
        return cover(first, end, finer)
    inner = (unit, inner_first, inner_end)
    return [*cover(first, inner_first, finer), inner, *cover(inner_end, end, finer)]


def _width(connection: Connection, stretches: Sequence[Stretch], total: Bucket, max_points: int) -> int:
    """The smallest power of two that gives at most `max_points` non-empty buckets.

    At least count/max_points, as a bucket holds at most one point a step; at most what the range needs when no bucket
    in it is empty. Between the two it is found from above, where looking is cheap.
    """
    least = _power_of_two(-(-total.count // max_points))
    width = _power_of_two(-(-(total.last[0] - total.first[0] + 1) // max_points))
    while total.last[0] // width - total.first[0] // width >= max_points:
        width *= 2
    while width > least and _has_at_most(connection, stretches, width // 2, max_points):
        width //= 2
    return width


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 0).bit_length()


def _has_at_most(connection: Connection, stretches: Sequence[Stretch], width: int, most: int) -> bool:
    """Whether there are at most `most` non-empty buckets of this width."""
    seen: set[int] = set()
    for stretch in stretches:
        for unit, first, end in cover(stretch.first, stretch.end, _widths_up_to(width)):
            bucket, where = _place(stretch.series_id, unit, first, end, width)
            statement = select(bucket.label("bucket")).where(*where).distinct().limit(most + 1)
            seen.update(connection.execute(statement).scalars())
            if len(seen) > most:
                return False
    return True


def _merge(connection: Connection, stretches: Sequence[Stretch], width: int) -> dict[int, Bucket]:
    merged: dict[int, Bucket] = {}
    for stretch in stretches:
        for unit, first, end in cover(stretch.first, stretch.end, _widths_up_to(width)):
            bucket, where = _place(stretch.series_id, unit, first, end, width)
            statement = _aggregates(unit, bucket).where(*where).group_by(bucket)
            for number, *sums in connection.execute(statement):
                one = _bucket(stretch.series_id, sums)
                if number in merged:
                    merged[number].add(one)
                else:
                    merged[number] = one
    return merged


def _total(connection: Connection, stretches: Iterable[Stretch]) -> Bucket | None:
    """All of the stretches as one bucket; None when they hold no point."""
    total: Bucket | None = None
    for stretch in stretches:
        for unit, first, end in cover(stretch.first, stretch.end, WIDTHS):
            _, where = _place(stretch.series_id, unit, first, end, unit)
            row = connection.execute(_aggregates(unit).where(*where)).one()
            if row[0]:
                one = _bucket(stretch.series_id, row)
                if total is None:
                    total = one
                else:
                    total.add(one)
    return total


def _widths_up_to(width: int) -> Sequence[int]:
    return [known for known in WIDTHS if known <= width]


def _place(
    series_id: int, unit: int, first: int, end: int, width: int
) -> tuple[ColumnElement[int], list[ColumnElement[bool]]]:
    """The number of the bucket of `width`, and the rows of one part of `cover`."""
    if unit == 1:
        step = points.c.step
        return step // width, [points.c.series_id == series_id, step >= first, step < end]
    bucket = rollups.c.bucket
    mine = [rollups.c.series_id == series_id, rollups.c.width == unit]
    return bucket // (width // unit), [*mine, bucket >= first // unit, bucket < end // unit]


def _aggregates(unit: int, *keys: ColumnElement[int]) -> Select[Any]:
    """`keys`, count, non_finite, first step, last step, min, max."""
    if unit == 1:
        value = points.c.value
        is_finite = value.between(-LARGEST, LARGEST)
        non_finite = func.sum(case((is_finite, 0), else_=1))
        step, known = points.c.step, case((is_finite, value))
        return select(*keys, func.count(), non_finite, func.min(step), func.max(step), func.min(known), func.max(known))
    sums = rollups.c
    return select(
        *keys,
        func.sum(sums.count),
        func.sum(sums.non_finite),
        func.min(sums.first_step),
        func.max(sums.last_step),
        func.min(sums.min),
        func.max(sums.max),
    )


def _bucket(series_id: int, sums: Sequence[Any]) -> Bucket:
    count, non_finite, first, last, least, most = sums
    return Bucket(int(count), int(non_finite), (first, series_id), (last, series_id), least, most)


def _values_at(
    connection: Connection, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], tuple[float, float | None]]:
    """(time, value) of points given as (step, series_id)."""
    wanted = sorted(set(places))
    found: dict[tuple[int, int], tuple[float, float | None]] = {}
    for start in range(0, len(wanted), LOOK_UP_SLICE):
        part = wanted[start : start + LOOK_UP_SLICE]
        statement = select(points.c.step, points.c.series_id, points.c.time, points.c.value)
        for row in connection.execute(among(statement, (points.c.step, points.c.series_id), part)):
            found[row.step, row.series_id] = (row.time, row.value)
    return found


def _shown(step: int, bucket: Bucket, values: dict[tuple[int, int], tuple[float, float | None]]) -> dict[str, Any]:
    time, first = values[bucket.first]
    return {
        "step": step,
        "last_step": bucket.last[0],
        "time": time,
        "first": finite(first),
        "last": finite(values[bucket.last][1]),
        "min": bucket.min,
        "max": bucket.max,
        "count": bucket.count,
        "non_finite": bucket.non_finite,
    }
