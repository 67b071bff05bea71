"""Datasets: names, lease, publishing, approvals, and who may delete what."""

from dataclasses import replace

import pytest

from heimdall.domain.attempt import Batch, Outcome
from heimdall.domain.dataset import DatasetResult, DatasetStatus
from heimdall.domain.errors import ConflictError, DatasetNotFoundError, InvalidInputError, LeaseLostError
from heimdall.domain.job import Phase, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey
from tests.contract.store.making import again, created, new_dataset, new_job, queued, running, token

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
    lease = stores.datasets.take_lease(dataset.id, seen=None)
    assert lease is not None
    assert stores.datasets.take_lease(dataset.id, seen=None) is None
    stores.datasets.heartbeat(dataset.id, lease)
    assert stores.datasets.take_lease(dataset.id, seen=(lease, 0)) is None  # it lives
    other = stores.datasets.take_lease(dataset.id, seen=(lease, 1))
    assert other is not None
    for call in (
        lambda: stores.datasets.heartbeat(dataset.id, lease),
        lambda: stores.datasets.publish(dataset.id, lease, RESULT),
    ):
        with pytest.raises(LeaseLostError):
            call()
    stores.datasets.give_up(dataset.id, lease, "failed")  # no longer its to give up
    ready = stores.datasets.publish(dataset.id, other, RESULT)
    assert (ready.status, ready.num_samples, ready.files, ready.lease_token) == (
        DatasetStatus.READY,
        10,
        [{"name": "f"}],
        None,
    )
    assert stores.datasets.take_lease(dataset.id, seen=None) is None


def test_a_generation_given_up_can_be_tried_again(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset())
    lease = stores.datasets.take_lease(dataset.id, seen=None)
    assert lease is not None
    stores.datasets.give_up(dataset.id, lease, "failed")
    assert stores.datasets.get(dataset.id).status is DatasetStatus.FAILED
    assert stores.datasets.take_lease(dataset.id, seen=None) is not None
    assert stores.datasets.get(dataset.id).status is DatasetStatus.GENERATING


def test_a_job_needs_a_ready_dataset_and_holds_it(stores: Stores) -> None:
    dataset = stores.datasets.open(new_dataset())
    for unusable in (dataset.id, "unknown"):
        with pytest.raises(InvalidInputError):
            created(stores, dataset_id=unusable)
    lease = stores.datasets.take_lease(dataset.id, seen=None)
    assert lease is not None
    stores.datasets.publish(dataset.id, lease, RESULT)
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
        running = again(stores, job.id)
        assert stores.datasets.take_lease(dataset.id, seen=None) is not None
        if how == "fail":
            stores.attempts.end(job.id, token(running), Outcome(action=Action.FAIL))
        else:
            stores.jobs.take_lease(job.id)
    expected = DatasetStatus.FAILED if how == "fail" else DatasetStatus.CANCELLED
    ended = stores.datasets.get(dataset.id)
    assert (ended.status, ended.lease_token) == (expected, None)
    stores.jobs.retry(job.id)
    assert stores.datasets.take_lease(dataset.id, seen=None) is not None


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
