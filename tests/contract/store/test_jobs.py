"""What callers do to jobs."""

import base64
import json
import math
from datetime import UTC
from typing import Any

import pytest

from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.errors import ConflictError, InvalidInputError, JobNotFoundError
from heimdall.domain.events import EventName
from heimdall.domain.job import Job, JobSummary, Reason, Requested, Status
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey, JobFilter, Oldest
from tests.contract.store.conftest import Clock
from tests.contract.store.making import (
    PAUSE_CHECKPOINT,
    claimed,
    created,
    epoch_batch,
    new_dataset,
    new_job,
    paused,
    queued,
    running,
    token,
)


def names(stores: Stores, job: Job) -> list[EventName]:
    return [event.event for event in stores.history.events(job.id)]


def test_a_new_job_is_pending_and_comes_back_as_it_was_given(stores: Stores) -> None:
    new = new_job(tags=["b", "a"], notes="note", warnings=["careful"], config={"z": 1, "a": [1.5, None]})
    job, is_new = stores.jobs.create(new, actor="ada")
    assert is_new
    assert stores.jobs.get(job.id) == job
    assert (job.status, job.tags, job.notes, job.warnings) == (Status.PENDING, ["b", "a"], "note", ["careful"])
    assert list(job.config) == ["z", "a"]  # the order of a user's fields is kept
    assert job.created_at.tzinfo is UTC
    events = stores.history.events(job.id)
    assert [event.event for event in events] == [EventName.CREATED, EventName.WARNING]
    assert events[0].data["actor"] == "ada"
    assert job.event_seq == 2


def test_text_that_a_database_cannot_hold_is_stored_readable(stores: Stores) -> None:
    job = created(stores, job_name="nul \0 and \ud800 surrogate", notes="\0")
    assert job.job_name == "nul \ufffd and \ufffd surrogate"
    with pytest.raises(JobNotFoundError):
        stores.jobs.get("no\0such")


def test_dispatch_and_recall_are_guarded_by_status_and_task(stores: Stores) -> None:
    job = created(stores)
    assert not stores.jobs.recall(job.id, "task-1")
    handed_out = stores.jobs.dispatch(job.id, "task-1")
    assert handed_out is not None
    assert (handed_out.status, handed_out.celery_task_id) == (Status.QUEUED, "task-1")
    assert stores.jobs.dispatch(job.id, "task-2") is None
    assert not stores.jobs.recall(job.id, "task-2")
    assert stores.jobs.recall(job.id, "task-1")
    assert stores.jobs.get(job.id).celery_task_id is None
    assert stores.jobs.pending_ids() == [job.id]
    assert [event.data["status"] for event in stores.history.events(job.id)] == ["pending", "queued", "pending"]


def test_the_same_idempotency_key_answers_the_first_job_for_a_day(stores: Stores, clock: Clock) -> None:
    key = IdempotencyKey("key", "body")
    first, is_new = stores.jobs.create(new_job(), idempotency=key)
    assert is_new
    second, is_new = stores.jobs.create(new_job(), idempotency=key)
    assert (second.id, is_new) == (first.id, False)
    with pytest.raises(InvalidInputError):
        stores.jobs.create(new_job(), idempotency=IdempotencyKey("key", "other body"))
    clock.advance(hours=24, seconds=1)
    third, is_new = stores.jobs.create(new_job(), idempotency=key)
    assert is_new
    assert third.id != first.id


def test_a_refused_job_does_not_use_its_key_up(stores: Stores) -> None:
    key = IdempotencyKey("key", "body")
    with pytest.raises(InvalidInputError):
        stores.jobs.create(new_job(dataset_id="unknown"), idempotency=key)
    assert stores.jobs.create(new_job(), idempotency=key)[1]


def test_pausing_a_running_job(stores: Stores) -> None:
    job = running(stores)
    asked = stores.jobs.request(job.id, Requested.PAUSE, actor="ada")
    assert (asked.status, asked.requested) == (Status.RUNNING, Requested.PAUSE)
    assert stores.jobs.request(job.id, Requested.PAUSE).event_seq == asked.event_seq
    assert stores.jobs.resume(job.id).requested is None
    stores.jobs.cancel(job.id)
    with pytest.raises(ConflictError):
        stores.jobs.request(job.id, Requested.PAUSE)
    with pytest.raises(ConflictError):
        stores.jobs.resume(job.id)


def test_a_job_without_epochs_cannot_pause(stores: Stores) -> None:
    job = running(stores, total_epochs=0)
    with pytest.raises(ConflictError, match="data-generation"):
        stores.jobs.request(job.id, Requested.PAUSE)


def test_a_job_that_does_not_run_is_cancelled_at_once(stores: Stores) -> None:
    for job in (created(stores), queued(stores), paused(stores)):
        cancelled = stores.jobs.cancel(job.id)
        assert (cancelled.status, cancelled.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_USER)
        assert cancelled.completed_at is not None
        assert cancelled.pause_checkpoint_path is None
        assert stores.jobs.cancel(job.id) == cancelled
        assert names(stores, job)[-1] is EventName.COMPLETED


def test_resume_after_a_pause(stores: Stores) -> None:
    job = paused(stores)
    assert job.pause_checkpoint_path == PAUSE_CHECKPOINT
    resumed = stores.jobs.resume(job.id, actor="ada")
    assert (resumed.status, resumed.current_epoch) == (Status.PENDING, 1)
    event = stores.history.events(job.id)[-1]
    assert (event.event, event.data) == (
        EventName.RESUMED,
        {"status": "pending", "celery_task_id": None, "resume_epoch": 2, "actor": "ada"},
    )
    with pytest.raises(ConflictError, match="pending"):
        stores.jobs.resume(job.id)


def test_resume_without_its_checkpoint_needs_to_be_told_so(stores: Stores) -> None:
    job = running(stores)
    first, second = epoch_batch(job, 1, 1), epoch_batch(job, 2, 2)
    for batch in (first, second):
        stores.attempts.write(job.id, token(job), batch)
    stores.jobs.request(job.id, Requested.PAUSE)
    assert stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL") is not None
    resumed = stores.jobs.resume(job.id, last_good=1)
    assert (resumed.status, resumed.pause_checkpoint_path, resumed.current_epoch) == (Status.PENDING, None, 1)
    assert "epoch 1" in resumed.warnings[-1]
    assert names(stores, job)[-3:] == [EventName.COMPLETED, EventName.RESUMED, EventName.WARNING]


def test_retry_starts_again_from_the_newest_checkpoint_or_from_nothing(stores: Stores) -> None:
    fresh = stores.jobs.cancel(created(stores).id)
    again = stores.jobs.retry(fresh.id)
    assert (again.status, again.reason, again.completed_at, again.current_epoch) == (Status.PENDING, None, None, 0)
    assert stores.history.events(fresh.id)[-1].data["resume_epoch"] == 1

    trained = stores.jobs.cancel(paused(stores).id)
    assert stores.jobs.retry(trained.id).current_epoch == 1
    assert stores.history.events(trained.id)[-1].data["resume_epoch"] == 2
    with pytest.raises(ConflictError):
        stores.jobs.retry(trained.id)


def test_retry_of_a_job_whose_dataset_is_gone(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset(status="ready"))
    job = stores.jobs.cancel(created(stores, dataset_id=dataset.id).id)
    stores.datasets.delete(dataset.id)
    with pytest.raises(ConflictError, match="deleted"):
        stores.jobs.retry(job.id)
    assert stores.jobs.get(job.id) == job


def test_changing_a_job(stores: Stores) -> None:
    job = queued(stores, tags=["old"])
    changed = stores.jobs.update(job.id, {"job_name": "new", "notes": None, "tags": ["x", "y"], "priority": 7})
    assert (changed.job_name, changed.tags, changed.priority) == ("new", ["x", "y"], 7)
    assert stores.jobs.page(JobFilter(tags=["y"])).total == 1
    assert stores.jobs.page(JobFilter(tags=["old"])).total == 0
    claimed(stores, job.id)
    with pytest.raises(ConflictError):
        stores.jobs.update(job.id, {"priority": 1})
    with pytest.raises(InvalidInputError):
        stores.jobs.update(job.id, {"status": "completed"})
    assert stores.jobs.update(job.id, {"notes": "runs"}).notes == "runs"


def test_the_list_filters(stores: Stores) -> None:
    found = created(stores, job_name="Über 100% done", kind="synthetic", tags=["a", "b"])
    queued(stores, notes="a_b")
    ids = [job.id for job in stores.jobs.page(JobFilter(kind="synthetic", tags=["a"], q="100% D")).jobs]
    assert ids == [found.id]
    assert stores.jobs.page(JobFilter(q="%")).total == 1
    assert stores.jobs.page(JobFilter(q="a_b")).total == 1
    assert stores.jobs.page(JobFilter(q=found.id[:8])).total == 1
    assert stores.jobs.page(JobFilter(statuses=[Status.QUEUED, Status.RUNNING])).total == 1
    with pytest.raises(InvalidInputError):
        stores.jobs.page(JobFilter(sort="lease_token"))


@pytest.mark.parametrize(
    "sort", ["created_at", "-created_at", "val_loss", "-val_loss", "-priority", "job_name", "status"]
)
def test_a_cursor_walks_the_whole_list_once_while_jobs_are_added(stores: Stores, sort: str) -> None:
    ids: set[str] = set()
    for number in range(7):
        job = running(stores, job_name=f"job {number % 3}", priority=number % 2)
        if number % 3:
            batch = epoch_batch(job, 1, 1)
            batch.summary["val_loss"] = float(number % 4)
            stores.attempts.write(job.id, token(job), batch)
        ids.add(job.id)
    seen: list[Job | JobSummary] = []
    cursor: str | None = None
    while True:
        page = stores.jobs.page(JobFilter(sort=sort, limit=2, cursor=cursor))
        seen += page.jobs
        cursor = page.next_cursor
        if cursor is None:
            break
        created(stores, job_name="added meanwhile")
    walked = [job.id for job in seen if job.id in ids]
    assert len(walked) == len(set(walked)) == 7
    losses = [job.val_loss for job in seen if job.id in ids]
    if sort == "val_loss":
        assert losses == sorted(loss for loss in losses if loss is not None) + [None] * 3
    if sort == "-val_loss":
        assert losses == sorted((loss for loss in losses if loss is not None), reverse=True) + [None] * 3


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("-created_at", "2020-01-01"),
        ("-created_at", "2020-01-01T00:00:00"),
        ("updated_at", "0001-01-01T00:00:00+23:59"),
        ("created_at", 5),
        ("priority", 10**30),
        ("priority", -(2**63)),
        ("priority", True),
        ("priority", 1.5),
        ("val_loss", 10**400),
        ("val_loss", math.inf),
        ("val_loss", "1"),
        ("status", "tired"),
        ("job_name", None),
    ],
)
def test_a_forged_cursor_is_refused(stores: Stores, sort: str, value: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([sort, value, "x"]).encode()).decode()
    with pytest.raises(InvalidInputError, match="cursor"):
        stores.jobs.page(JobFilter(sort=sort, cursor=cursor))


@pytest.mark.parametrize("cursor", ["x", "e30", "bnVsbA", "WyItY3JlYXRlZF9hdCIsMSwiYSJd", "\0", "é"])
def test_a_cursor_of_something_else_is_refused(stores: Stores, cursor: str) -> None:
    with pytest.raises(InvalidInputError, match="cursor"):
        stores.jobs.page(JobFilter(cursor=cursor))


def test_taking_a_lease_away(stores: Stores) -> None:
    assert stores.jobs.take_lease(created(stores).id) is None
    job = running(stores)
    taken = stores.jobs.take_lease(job.id)
    assert taken is not None
    assert (taken.status, taken.lease_token) == (Status.CANCELLED, None)
    assert stores.attempts.attempts(job.id)[0].cause == "lease_taken"


def test_counts_and_numbers_of_events(stores: Stores) -> None:
    stores.jobs.cancel(created(stores).id)
    job = queued(stores)
    assert stores.jobs.counts() == {
        "pending": 0,
        "queued": 1,
        "running": 0,
        "paused": 0,
        "completed": 0,
        "failed": 0,
        "cancelled": 1,
    }
    assert stores.history.event_seqs([job.id, "gone"]) == {job.id: 2}


def test_who_needs_more_gpus_than_any_live_worker_has_is_told_once(stores: Stores) -> None:
    jobs = [queued(stores, gpus=number) for number in (0, 1, 2)]
    stores.attempts.announce(WorkerInfo(name="w", host="h", slots=1, devices=["cuda:0"]))
    for _ in range(2):
        stores.jobs.warn_of_missing_gpus()
    warned = [stores.jobs.get(job.id).warnings for job in jobs]
    assert warned == [[], [], ["The job waits: no live worker has the 2 GPU(s) it needs."]]
    assert names(stores, jobs[2]).count(EventName.WARNING) == 1
    stores.attempts.retire("w")
    stores.jobs.warn_of_missing_gpus()
    assert [len(stores.jobs.get(job.id).warnings) for job in jobs] == [0, 1, 1]


def test_how_long_the_queue_waits_is_counted_from_the_handing_out(stores: Stores, clock: Clock) -> None:
    assert stores.jobs.oldest() == Oldest(queued_at=None, heartbeat_at=None)
    first = queued(stores)
    clock.advance(hours=1)
    queued(stores)
    stores.jobs.update(first.id, {"notes": "edited meanwhile"})
    assert stores.jobs.oldest().queued_at == stores.jobs.get(first.id).queued_at == first.queued_at == first.updated_at
    job = claimed(stores, first.id)
    oldest = stores.jobs.oldest()
    assert (oldest.queued_at, oldest.heartbeat_at) != (first.queued_at, None)
    assert oldest.heartbeat_at == job.heartbeat_at
