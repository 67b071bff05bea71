"""What a worker writes: numbered batches, each once."""

import math

import pytest

from heimdall.domain.attempt import Artifact, ArtifactType, Batch, SeriesPoints
from heimdall.domain.errors import ArtifactNotFoundError, InvalidInputError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Phase
from heimdall.domain.ports import Stores
from tests.contract.store.making import (
    checkpoint,
    epoch_batch,
    epoch_row,
    log_event,
    points_batch,
    running,
    stored_file,
    token,
)


def test_a_batch_is_one_change(stores: Stores) -> None:
    job = running(stores)
    artifact = Artifact(name="metrics.json", file=stored_file("m"), artifact_type=ArtifactType.METRICS)
    batch = epoch_batch(job, 1, 1, artifacts={"metrics.json": artifact})
    batch.summary.update(phase="training", metrics={"a": 1.0, "b": math.nan}, best_val_loss=math.inf)
    stores.attempts.write(job.id, token(job), batch)
    now = stores.jobs.get(job.id)
    assert (now.phase, now.current_epoch, now.metrics, now.best_val_loss) == (
        Phase.TRAINING,
        1,
        {"a": 1.0, "b": None},
        None,
    )
    assert stores.history.artifacts(job.id)[0].name == "metrics.json"
    stores.attempts.write(job.id, token(job), Batch(number=2, artifacts={"metrics.json": None}))
    with pytest.raises(ArtifactNotFoundError):
        stores.history.artifact(job.id, "metrics.json")


def test_the_same_number_again_changes_nothing(stores: Stores) -> None:
    job = running(stores)
    batch = epoch_batch(job, 1, 1)
    batch.events.append(log_event("INFO"))
    stores.attempts.write(job.id, token(job), batch)
    before = (stores.jobs.get(job.id), stores.history.events(job.id), stores.history.metrics(job.id))
    stores.attempts.write(job.id, token(job), batch)
    assert (stores.jobs.get(job.id), stores.history.events(job.id), stores.history.metrics(job.id)) == before


def test_a_missing_batch_is_noticed(stores: Stores) -> None:
    job = running(stores)
    with pytest.raises(ValueError, match="missing"):
        stores.attempts.write(job.id, token(job), Batch(number=2))


def test_a_batch_that_cannot_be_stored_writes_nothing(stores: Stores) -> None:
    job = running(stores)
    wrong = [
        Batch(number=1, summary={"status": "completed"}),
        Batch(number=1, summary={"phase": "dreaming"}),
        Batch(number=1, points=[SeriesPoints("a", [(-1, 0.0, 0.0)])]),
        Batch(number=1, points=[SeriesPoints("a", [(1 << 62, 0.0, 0.0)])]),
    ]
    for batch in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 - the four say different things
            stores.attempts.write(job.id, token(job), batch)
    assert stores.jobs.get(job.id) == job


def test_each_new_warning_has_one_line_and_one_event(stores: Stores) -> None:
    job = running(stores, warnings=["first"])
    told = [NewEvent(EventName.WARNING, {"message": "third"}), NewEvent(EventName.WARNING, {"message": "second"})]
    batch = Batch(number=1, events=told, summary={"warnings_add": ["first", "second", "second"]})
    stores.attempts.write(job.id, token(job), batch)
    assert stores.jobs.get(job.id).warnings == ["first", "second", "third"]
    events = [e for e in stores.history.events(job.id) if e.event is EventName.WARNING]
    assert [event.data["message"] for event in events] == ["first", "second", "third"]
    assert stores.jobs.get(job.id).event_seq == len(stores.history.events(job.id))


def test_figures_that_are_not_finite_never_reach_the_wire(stores: Stores) -> None:
    job = running(stores)
    row = epoch_row(1, train_loss=math.nan, val_loss=math.inf, rmse=-math.inf, other=2.0)
    event = NewEvent(EventName.PROGRESS, {"metrics": {"deep": [math.nan, 1.0]}})
    batch = Batch(number=1, epoch_rows=[row], events=[event], checkpoint=checkpoint(job, 1, 5))
    stores.attempts.write(job.id, token(job), batch)
    (flat,), total = stores.history.metrics(job.id)
    assert total == 1
    assert (flat["train_loss"], flat["val_loss"], flat["rmse"], flat["other"]) == (None, None, None, 2.0)
    assert flat["non_finite"] == {"train_loss": "NaN", "val_loss": "Infinity", "rmse": "-Infinity"}
    assert stores.history.events(job.id)[-1].data == {"metrics": {"deep": [None, 1.0]}}

    stores.attempts.write(job.id, token(job), points_batch(2, "a", {0: math.nan, 1: math.inf, 2: 3.0}))
    (summary,) = stores.history.series(job.id)
    assert (summary.points, summary.last, summary.min, summary.max) == (3, 3.0, 3.0, 3.0)
    buckets = stores.history.buckets(job.id, "a")["buckets"]
    assert [(one["first"], one["min"], one["non_finite"]) for one in buckets] == [
        (None, None, 1),
        (None, None, 1),
        (3.0, 3.0, 0),
    ]


def test_log_lines_are_numbered_without_holes_and_read_by_level(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.write(job.id, token(job), Batch(number=1, events=[log_event("DEBUG", "INFO"), log_event("error")]))
    stores.attempts.write(job.id, token(job), Batch(number=2, events=[log_event("WARNING", "CRITICAL", "odd")]))
    lines, after = stores.history.logs(job.id)
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert after == 6
    lines, after = stores.history.logs(job.id, after=1, limit=2)
    assert ([line["line"] for line in lines], after) == ([2, 3], 3)
    lines, after = stores.history.logs(job.id, level="warning")
    assert ([line["line"] for line in lines], after) == ([3, 4, 5], 6)
    assert stores.history.logs(job.id, after=6) == ([], 6)
    assert stores.jobs.get(job.id).log_lines == 6
    with pytest.raises(InvalidInputError, match="loud"):
        stores.history.logs(job.id, level="loud")


def test_many_log_events_are_read_in_turns(stores: Stores) -> None:
    job = running(stores)
    batch = Batch(number=1, events=[log_event(*["INFO"] * 3) for _ in range(450)])
    stores.attempts.write(job.id, token(job), batch)
    assert [line["line"] for line in stores.history.logs(job.id, after=100, limit=5000)[0]] == list(range(101, 1351))
    assert len(stores.history.events(job.id, types=["training:log"], limit=10)) == 10
