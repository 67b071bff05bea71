"""Bulky events of jobs that ended long ago are emptied; their numbers, and everything else, stay."""

from datetime import timedelta
from typing import Any

import pytest

from heimdall.domain.attempt import Batch, Outcome
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, Reason, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.store import retention
from tests.contract.store.making import again, epoch_batch, log_event, points_batch, running, token

LONG = timedelta(days=30)
POINTS = NewEvent(EventName.METRICS, {"series": "train_loss", "from_step": 1, "to_step": 1, "points": [[1, 0.5]]})
SYSTEM = NewEvent(EventName.SYSTEM, {"cpu_percent": 99.0})


def write(stores: Stores, job: Job) -> None:
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 1))
    stores.attempts.write(job.id, token(job), points_batch(2, "train_loss", {1: 0.5}))
    events = [log_event("INFO", "INFO"), POINTS, SYSTEM]
    stores.attempts.write(job.id, token(job), Batch(number=3, events=events))


def failed(stores: Stores) -> Job:
    job = running(stores)
    write(stores, job)
    return fail(stores, job)


def fail(stores: Stores, job: Job) -> Job:
    return stores.attempts.end(job.id, token(job), Outcome(action=Action.FAIL, seen=None, reason=Reason.ERROR))


def empty_all(stores: Stores, ended_for: timedelta = timedelta()) -> int:
    slices = 0
    while stores.jobs.empty_events(ended_for=ended_for):
        slices += 1
    return slices


def data_of(stores: Stores, job: Job, name: EventName) -> list[dict[str, Any]]:
    return [event.data for event in stores.history.events(job.id) if event.event is name]


def test_events_of_a_job_that_ended_long_ago_are_emptied_and_keep_their_numbers(stores: Stores) -> None:
    job, lives = failed(stores), running(stores)
    write(stores, lives)
    before = stores.history.events(job.id)
    empty_all(stores)
    after = stores.history.events(job.id)
    assert [(event.seq, event.event) for event in after] == [(event.seq, event.event) for event in before]
    assert data_of(stores, job, EventName.LOG) == [{"lines": []}]
    assert data_of(stores, job, EventName.METRICS) == [{"points": []}]
    assert data_of(stores, job, EventName.SYSTEM) == [{}]
    kept = [event for event in before if event.event not in retention.EMPTY]
    assert [event for event in after if event.event not in retention.EMPTY] == kept
    assert stores.history.logs(job.id) == ([], 0)
    assert stores.history.metrics(job.id)[1] == 1
    assert stores.history.buckets(job.id, "train_loss")["buckets"]
    assert stores.jobs.get(job.id) == job
    assert data_of(stores, lives, EventName.LOG)[0]["lines"]


def test_nothing_is_emptied_before_its_time_nor_twice(stores: Stores) -> None:
    job = failed(stores)
    assert empty_all(stores, LONG) == 0
    assert data_of(stores, job, EventName.LOG)[0]["lines"]
    assert empty_all(stores) == 1
    assert empty_all(stores) == 0


def test_a_long_log_is_emptied_in_slices(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SLICE", 2)
    job = failed(stores)
    assert empty_all(stores) == -(-job.event_seq // 2)
    assert data_of(stores, job, EventName.LOG) == [{"lines": []}]


def test_what_a_retried_job_logs_is_found_behind_emptied_lines_and_emptied_in_its_turn(stores: Stores) -> None:
    job = failed(stores)
    empty_all(stores)
    job = again(stores, stores.jobs.retry(job.id).id)
    write(stores, job)
    lines, _ = stores.history.logs(job.id)
    assert [line["line"] for line in lines] == [3, 4]
    assert fail(stores, job).status is Status.FAILED
    empty_all(stores)
    assert stores.history.logs(job.id)[0] == []


def test_an_emptied_job_can_be_deleted(stores: Stores) -> None:
    job = failed(stores)
    empty_all(stores)
    stores.jobs.delete(job.id)
    assert empty_all(stores) == 0
