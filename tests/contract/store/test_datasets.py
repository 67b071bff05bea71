"""Datasets: names, lease, publishing, approvals, and who may delete what."""

from dataclasses import replace

import pytest

from heimdall.domain.attempt import Batch, JobLease, Outcome
from heimdall.domain.dataset import Dataset, DatasetResult, DatasetStatus
from heimdall.domain.errors import (
    ConflictError,
    DatasetLeaseLostError,
    DatasetNotFoundError,
    InvalidInputError,
    LeaseLostError,
)
from heimdall.domain.job import Phase, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey
from tests.contract.store.making import again, created, lease, new_dataset, new_job, queued, running, token

RESULT = DatasetResult(
    num_samples=10, quality={"snr_db": {"mean": 1.0}}, size_bytes=5, sha256="a", key="datasets/x", files=[{"name": "f"}]
)


def test_opening_a_name_twice_gives_the_first(stores: Stores) -> None:
    first = stores.datasets.open(new_dataset(name="default"))
    assert stores.datasets.open(new_dataset(name="default")) == first
    assert stores.datasets.find("default") == first == stores.datasets.get(first.id)
    assert stores.datasets.find("other") is None
    with pytest.raises(DatasetNotFoundError):
        stores.datasets.get("other")


def test_one_makes_it_and_others_may_take_over(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset())
    first, second = lease(running(stores)), lease(running(stores))
    assert take(stores, dataset, first, token="one")
    assert take(stores, dataset, first, token="one")  # the answer was lost
    assert not take(stores, dataset, second, token="two")
    stores.datasets.heartbeat(dataset.id, "one")
    assert not take(stores, dataset, second, token="two", seen=("one", 0))  # it lives
    assert take(stores, dataset, second, token="two", seen=("one", 1))
    for call in (
        lambda: stores.datasets.heartbeat(dataset.id, "one"),
        lambda: stores.datasets.publish(dataset.id, first, token="one", result=RESULT),
    ):
        with pytest.raises(DatasetLeaseLostError):
            call()
    stores.datasets.give_up(dataset.id, "one", "failed")  # no longer its to give up
    ready = stores.datasets.publish(dataset.id, second, token="two", result=RESULT)
    assert (ready.status, ready.num_samples, ready.files, ready.lease_token) == (
        DatasetStatus.READY,
        10,
        [{"name": "f"}],
        None,
    )
    assert stores.datasets.publish(dataset.id, second, token="two", result=RESULT) == ready  # the answer was lost
    with pytest.raises(DatasetLeaseLostError):
        stores.datasets.publish(dataset.id, second, token="two", result=replace(RESULT, key="datasets/y"))
    assert not take(stores, dataset, second, token="three")


def test_a_generation_given_up_can_be_tried_again(stores: Stores) -> None:
    dataset, holder = stores.datasets.open(new_dataset()), lease(running(stores))
    assert take(stores, dataset, holder)
    stores.datasets.give_up(dataset.id, "one", "failed")
    assert stores.datasets.get(dataset.id).status is DatasetStatus.FAILED
    assert take(stores, dataset, holder, token="two")
    assert stores.datasets.get(dataset.id).status is DatasetStatus.GENERATING


@pytest.mark.parametrize("how", ["lost", "lease taken", "ended", "deleted"])
def test_an_attempt_that_lost_its_job_neither_takes_nor_publishes(stores: Stores, how: str) -> None:
    job, other = running(stores, max_restarts=3), lease(running(stores))
    free, held = stores.datasets.open(new_dataset()), stores.datasets.open(new_dataset())
    assert take(stores, held, lease(job))
    match how:
        case "lost":
            stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
        case "lease taken":
            stores.jobs.take_lease(job.id)
        case "ended":
            stores.attempts.end(job.id, token(job), Outcome(action=Action.FAIL))
        case _:
            stores.jobs.take_lease(job.id)
            stores.jobs.delete(job.id)
    for call in (
        lambda: take(stores, free, lease(job)),
        lambda: stores.datasets.publish(held.id, lease(job), token="one", result=RESULT),
    ):
        with pytest.raises(LeaseLostError):
            call()
    assert stores.datasets.get(free.id) == free
    assert stores.datasets.get(held.id).status is DatasetStatus.GENERATING
    assert take(stores, held, other, token="two", seen=("one", 0))


def test_the_next_attempt_takes_what_its_job_was_created_for_at_once(stores: Stores) -> None:
    job, dataset = new_job(kind="synthetic", total_epochs=0), new_dataset()
    job, dataset = replace(job, dataset_id=dataset.id), replace(dataset, job_id=job.id)
    stores.jobs.create_with_dataset(job, dataset)
    first = again(stores, job.id)
    assert take(stores, dataset, lease(first))
    stores.datasets.heartbeat(dataset.id, "one")
    stores.attempts.lose(job.id, token(first), heartbeat=None, cause="SIGKILL")
    second = again(stores, job.id)
    assert not take(stores, dataset, lease(running(stores)), token="three")
    assert take(stores, dataset, lease(second), token="two")
    assert stores.datasets.publish(dataset.id, lease(second), token="two", result=RESULT).job_id == job.id


def take(
    stores: Stores,
    dataset: Dataset,
    holder: JobLease,
    *,
    token: str = "one",
    seen: tuple[str | None, int] | None = None,
) -> bool:
    return stores.datasets.take_lease(dataset.id, holder, token=token, seen=seen)


def test_a_job_needs_a_ready_dataset_and_holds_it(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset())
    for unusable in (dataset.id, "unknown"):
        with pytest.raises(InvalidInputError):
            created(stores, dataset_id=unusable)
    holder = lease(running(stores))
    assert take(stores, dataset, holder)
    stores.datasets.publish(dataset.id, holder, token="one", result=RESULT)
    job = created(stores, dataset_id=dataset.id)
    with pytest.raises(ConflictError, match=job.id):
        stores.datasets.delete(dataset.id)
    stores.jobs.cancel(job.id)
    assert stores.datasets.delete(dataset.id).key == "datasets/x"
    with pytest.raises(DatasetNotFoundError):
        stores.datasets.delete(dataset.id)


def test_a_running_job_holds_default_before_it_says_so(stores: Stores) -> None:
    ready = {"status": "ready", "key": "datasets/x"}
    default, other = (stores.datasets.open(new_dataset(name=name, **ready)) for name in ("default", "other"))
    waiting = queued(stores)
    job = running(stores)
    with pytest.raises(ConflictError, match=job.id):
        stores.datasets.delete(default.id)
    stores.datasets.delete(other.id)
    batch = Batch(number=1, summary={"phase": Phase.TRAINING})  # it trains on nothing of ours
    stores.attempts.write(job.id, token(job), batch)
    assert stores.datasets.delete(default.id).name == "default"
    assert stores.jobs.get(waiting.id).status is Status.QUEUED  # it will make its own


def test_a_lost_attempt_holds_what_it_had_fixed(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset(name="default", status="ready"))
    job = running(stores)
    stores.attempts.fix_manifest(job.id, token(job), {"dataset_id": dataset.id})
    assert stores.attempts.lose(job.id, token(job), heartbeat=None, cause="killed") is not None
    with pytest.raises(ConflictError, match=job.id):
        stores.datasets.delete(dataset.id)


def test_a_job_that_makes_a_dataset(stores: Stores) -> None:
    job, dataset = new_job(kind="synthetic", total_epochs=0), new_dataset(name="mine")
    job, dataset = replace(job, dataset_id=dataset.id), replace(dataset, job_id=job.id)
    key = IdempotencyKey("k", "b")
    assert stores.jobs.create_with_dataset(job, dataset, idempotency=key)[1]
    again_job, again_dataset = new_job(), new_dataset(name="mine")
    assert not stores.jobs.create_with_dataset(again_job, again_dataset, idempotency=key)[1]
    with pytest.raises(ConflictError, match="mine"):
        stores.jobs.create_with_dataset(again_job, again_dataset)
    assert stores.jobs.counts()["pending"] == 1
    with pytest.raises(ConflictError):
        stores.datasets.delete(dataset.id)


@pytest.mark.parametrize("how", ["cancel", "fail", "take_lease"])
def test_a_dataset_whose_job_ends_early_is_not_left_generating(stores: Stores, how: str) -> None:
    job, dataset = new_job(total_epochs=0), new_dataset()
    job, dataset = replace(job, dataset_id=dataset.id), replace(dataset, job_id=job.id)
    stores.jobs.create_with_dataset(job, dataset)
    if how == "cancel":
        stores.jobs.cancel(job.id)
    else:
        first = again(stores, job.id)
        assert take(stores, dataset, lease(first))
        if how == "fail":
            stores.attempts.end(job.id, token(first), Outcome(action=Action.FAIL))
        else:
            stores.jobs.take_lease(job.id)
    expected = DatasetStatus.FAILED if how == "fail" else DatasetStatus.CANCELLED
    ended = stores.datasets.get(dataset.id)
    assert (ended.status, ended.lease_token) == (expected, None)
    stores.jobs.retry(job.id)
    assert take(stores, dataset, lease(again(stores, job.id)))


def test_deleting_a_job_takes_its_unfinished_dataset_along(stores: Stores) -> None:
    for status in ("generating", "ready"):
        job, dataset = new_job(total_epochs=0), new_dataset(status=status)
        stores.jobs.create_with_dataset(replace(job, dataset_id=dataset.id), replace(dataset, job_id=job.id))
        stores.jobs.delete(job.id)
        assert (stores.datasets.find(dataset.name) is not None) is (status == "ready")


def test_approvals(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset(status="ready", num_samples=30_000))
    stores.datasets.set_approved(dataset.id, range(25_000), approved=False)
    stores.datasets.set_approved(dataset.id, [24_999, 5, 5], approved=False)
    stores.datasets.set_approved(dataset.id, range(4, 24_999), approved=True)
    assert stores.datasets.unapproved(dataset.id) == [0, 1, 2, 3, 24_999]
    with pytest.raises(DatasetNotFoundError):
        stores.datasets.set_approved("unknown", [1], approved=False)
    stores.datasets.delete(dataset.id)
    assert stores.datasets.unapproved(dataset.id) == []


def test_pages_are_newest_first(stores: Stores) -> None:
    ids = [stores.datasets.open(new_dataset()).id for _ in range(3)]
    datasets, total = stores.datasets.page(limit=2, offset=1)
    assert ([dataset.id for dataset in datasets], total) == ([ids[1], ids[0]], 3)


def test_frozen_approvals_stay_as_they_were_and_are_kept_once(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset(status="ready"))
    nothing = stores.datasets.freeze_unapproved(dataset.id)
    stores.datasets.set_approved(dataset.id, [5, 3], approved=False)
    first = stores.datasets.freeze_unapproved(dataset.id)
    assert stores.datasets.freeze_unapproved(dataset.id) == first != nothing
    stores.datasets.set_approved(dataset.id, [3], approved=True)
    assert stores.datasets.frozen_unapproved(dataset.id, first) == [3, 5]
    assert stores.datasets.frozen_unapproved(dataset.id, nothing) == []
    stores.datasets.delete(dataset.id)
    with pytest.raises(DatasetNotFoundError):
        stores.datasets.frozen_unapproved(dataset.id, first)
    with pytest.raises(DatasetNotFoundError):
        stores.datasets.freeze_unapproved(dataset.id)
