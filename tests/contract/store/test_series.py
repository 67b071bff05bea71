"""Series thinned to buckets equal what a plain loop over the visible points gives."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heimdall.domain.attempt import Batch, SeriesPoints
from heimdall.domain.errors import NotFoundError
from heimdall.domain.job import Job
from heimdall.domain.ports import Stores
from heimdall.store import Database
from heimdall.store.buckets import cover
from tests.contract.store.counting import counted
from tests.contract.store.making import again, checkpoint, epoch_batch, epoch_row, points_batch, running, token

Points = dict[int, float | None]


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def plain_buckets(points: Points, start: int | None, end: int | None, max_points: int) -> dict[str, Any]:
    """The contract, word for word."""
    steps = sorted(step for step in points if (start is None or step >= start) and (end is None or step <= end))
    width = 1
    while len({step // width for step in steps}) > max_points:
        width *= 2
    found: list[dict[str, Any]] = []
    for number in sorted({step // width for step in steps}):
        mine = [step for step in steps if step // width == number]
        known = [value for step in mine if (value := finite(points[step])) is not None]
        found.append(
            {
                "step": number * width,
                "last_step": mine[-1],
                "time": float(mine[0]),
                "first": finite(points[mine[0]]),
                "last": finite(points[mine[-1]]),
                "min": min(known, default=None),
                "max": max(known, default=None),
                "count": len(mine),
                "non_finite": len(mine) - len(known),
            }
        )
    return {"width": width, "buckets": found}


VALUES = st.one_of(st.none(), st.floats(width=32))
STEPS = st.one_of(st.integers(0, 300), st.integers(0, 20_000), st.integers(4000, 4200))
RUNS = st.tuples(STEPS, st.integers(1, 400), st.sampled_from([1, 1, 3, 64, 100]))


@st.composite
def some_points(draw: st.DrawFn) -> Points:
    points = draw(st.dictionaries(STEPS, VALUES, max_size=20))
    for start, length, stride in draw(st.lists(RUNS, max_size=2)):
        points |= {start + stride * i: float(i % 17) for i in range(length)}
    return points or {0: 1.0}


@given(
    batches=st.lists(some_points(), min_size=1, max_size=3),
    ranges=st.lists(
        st.tuples(st.none() | STEPS, st.none() | STEPS, st.sampled_from([1, 2, 7, 50, 1000])), min_size=3, max_size=3
    ),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_buckets_equal_a_plain_loop(
    stores: Stores, batches: list[Points], ranges: list[tuple[int | None, int | None, int]]
) -> None:
    job = running(stores)
    points: Points = {}
    for number, new in enumerate(batches, start=1):
        stores.attempts.write(job.id, token(job), points_batch(number, "loss", new))
        points |= new
    for start, end, max_points in ranges:
        buckets = stores.history.buckets(job.id, "loss", start=start, end=end, max_points=max_points)
        assert buckets == plain_buckets(points, start, end, max_points)
    (summary,) = stores.history.series(job.id)
    known = [value for value in map(finite, points.values()) if value is not None]
    assert (summary.points, summary.last) == (len(points), finite(points[max(points)]))
    assert (summary.min, summary.max) == (min(known, default=None), max(known, default=None))


@given(first=st.integers(0, 20_000), length=st.integers(0, 20_000))
def test_a_cover_has_each_step_once(first: int, length: int) -> None:
    parts = cover(first, first + length, (64, 4096))
    assert all(unit == 1 or (start % unit == 0 and end % unit == 0) for unit, start, end in parts)
    assert sum(end - start for _, start, end in parts) == length
    assert all(left[2] == right[1] for left, right in pairwise(parts))


@given(
    takeovers=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 600), st.booleans()), min_size=1, max_size=4),
    first_length=st.integers(1, 400),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_step_shows_the_attempt_that_owns_it(
    stores: Stores, takeovers: list[tuple[int, int, bool]], first_length: int
) -> None:
    """Attempts go back to an epoch (100 steps each), or start from nothing, or end before they train."""
    job = running(stores, max_restarts=100)
    owner: Points = {}

    def train(job: Job, from_step: int, length: int) -> None:
        steps: Points = {step: float(job.attempt) for step in range(from_step + 1, from_step + length + 1)}
        stores.attempts.write(job.id, token(job), points_batch(1, "loss", steps))
        for step in [step for step in owner if step > from_step]:
            del owner[step]
        owner.update(steps)

    train(job, 0, first_length)
    for epoch, length, is_idle in takeovers:
        stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
        stores.jobs.cancel(job.id)
        stores.jobs.retry(job.id)
        job = again(stores, job.id)
        if is_idle:
            continue
        if epoch:
            stores.attempts.took_over(job.id, token(job), from_epoch=epoch, from_step=100 * epoch)
        train(job, 100 * epoch, length)
    assert stores.history.buckets(job.id, "loss", max_points=10_000) == plain_buckets(owner, None, None, 10_000)
    assert stores.history.buckets(job.id, "loss", max_points=5) == plain_buckets(owner, None, None, 5)
    assert stores.history.series(job.id)[0].points == len(owner)


def test_epochs_after_a_recovery_and_after_a_retry_from_the_start(stores: Stores) -> None:
    job = running(stores, max_restarts=9)
    for epoch in (1, 2, 3):
        stores.attempts.write(job.id, token(job), epoch_batch(job, epoch, epoch))
    stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    job = again(stores, job.id)
    shown, total = stores.history.metrics(job.id)
    assert ([row["epoch"] for row in shown], total) == ([1, 2, 3], 3)  # claimed is not yet taken over

    stores.attempts.took_over(job.id, token(job), from_epoch=2, from_step=200)
    for number, epoch in enumerate((3, 4), start=1):
        stores.attempts.write(job.id, token(job), epoch_batch(job, number, epoch))
    shown, _ = stores.history.metrics(job.id)
    assert [(row["epoch"], row["attempt"]) for row in shown] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    shown, total = stores.history.metrics(job.id, limit=2, after_epoch=1)
    assert ([row["epoch"] for row in shown], total) == ([3, 4], 3)
    shown, _ = stores.history.metrics(job.id, attempt=1)
    assert [row["epoch"] for row in shown] == [1, 2, 3]  # the abandoned tail stays

    stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    job = again(stores, job.id)
    batch = Batch(number=1, epoch_rows=[epoch_row(1, train_loss=0.0)], checkpoint=checkpoint(job, 1, 100))
    stores.attempts.write(job.id, token(job), batch)
    shown, _ = stores.history.metrics(job.id)
    assert [(row["epoch"], row["attempt"]) for row in shown] == [(1, 3)]


def test_figures_of_the_machine_are_never_superseded(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.write(job.id, token(job), points_batch(1, "system/cpu", {1: 1.0, 100: 2.0}))
    stores.attempts.write(job.id, token(job), points_batch(2, "loss", {1: 1.0}))
    stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    job = again(stores, job.id)
    stores.attempts.write(job.id, token(job), points_batch(1, "system/cpu", {200: 3.0}))
    assert [(one.name, one.points) for one in stores.history.series(job.id)] == [("loss", 1), ("system/cpu", 3)]
    stores.attempts.write(job.id, token(job), points_batch(2, "loss", {0: 5.0}))
    assert [(one.name, one.points) for one in stores.history.series(job.id)] == [("loss", 1), ("system/cpu", 3)]
    assert stores.history.buckets(job.id, "loss")["buckets"][0]["first"] == 5.0


def test_an_unknown_series(stores: Stores) -> None:
    with pytest.raises(NotFoundError):
        stores.history.buckets(running(stores).id, "loss")


def test_many_series_cost_as_many_statements_as_one(stores: Stores, database: Database) -> None:
    job = running(stores)
    counts: list[int] = []
    for number, num_series in enumerate((1, 50), start=1):
        names = [f"s{index}" for index in range(num_series)]
        new = [SeriesPoints(name, [(step + 10 * number, 1.0, 2.0) for step in range(10)]) for name in names]
        stores.attempts.write(job.id, token(job), Batch(number=number, points=new))
        with counted(database) as statements:
            assert len(stores.history.series(job.id)) == num_series
        counts.append(len(statements))
    assert counts[0] == counts[1]
