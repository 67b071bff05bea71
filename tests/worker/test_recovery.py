"""Recovery judges by watching on its own clock; nothing else makes a job lost."""

import pytest

from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.errors import UnavailableError
from heimdall.domain.job import Job, Requested, Status
from heimdall.jobs.recovery import Recovery
from tests.worker.place import Place
from tests.worker.test_output import Clock

WORKER = WorkerInfo(name="w", host="h", slots=1)


class Watch:
    """A recovery whose clock the test moves."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = Clock()
        self.recovery = Recovery(place.stores, place.dispatch, clock=self.clock)

    def look_for(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now += 1.0
            self.recovery.look()


@pytest.fixture
def watch(place: Place) -> Watch:
    return Watch(place)


def running_job(place: Place) -> Job:
    place.submit()
    job = place.stores.attempts.claim(WORKER, free_gpus=0)
    assert job is not None
    return job


def beat(place: Place, job: Job) -> Requested | None:
    return place.stores.attempts.heartbeat(job.id, job.lease_token or "")


def status(place: Place, job: Job) -> Status:
    return place.stores.jobs.get(job.id).status


def test_a_silent_worker_is_lost_after_a_lease_and_its_job_goes_out_again(place: Place, watch: Watch) -> None:
    job = running_job(place)
    watch.look_for(15)
    assert status(place, job) is Status.RUNNING
    watch.look_for(2)
    assert status(place, job) is Status.QUEUED


def test_a_beating_worker_is_left_alone(place: Place, watch: Watch) -> None:
    job = running_job(place)
    for _ in range(10):
        watch.look_for(10)
        beat(place, job)
    assert status(place, job) is Status.RUNNING


def test_after_a_gap_nothing_is_judged_for_a_lease(place: Place, watch: Watch) -> None:
    job = running_job(place)
    watch.look_for(14)
    watch.clock.now += 3600.0  # the machine slept
    watch.look_for(14)
    assert status(place, job) is Status.RUNNING
    watch.look_for(3)
    assert status(place, job) is Status.QUEUED


def test_while_nobody_can_write_nobody_is_lost(place: Place, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    job = running_job(place)
    watch.look_for(4)

    def refused(job_id: str, task_id: str) -> bool:
        raise UnavailableError("locked")

    with monkeypatch.context() as patched:
        patched.setattr(place.stores.jobs, "recall", refused)
        watch.look_for(60)
    assert status(place, job) is Status.RUNNING
    watch.look_for(14)
    assert status(place, job) is Status.RUNNING
    watch.look_for(3)
    assert status(place, job) is Status.QUEUED


def test_pending_jobs_go_out(place: Place, watch: Watch) -> None:
    job = place.submit()
    place.stores.jobs.recall(job.id, place.stores.jobs.get(job.id).celery_task_id or "")
    assert status(place, job) is Status.PENDING
    watch.look_for(1)
    assert status(place, job) is Status.QUEUED
