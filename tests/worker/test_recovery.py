"""Recovery judges by watching on its own clock; nothing else makes a job lost."""

from collections.abc import Callable

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

    def __init__(self, place: Place, dispatch: Callable[[str], Job] | None = None) -> None:
        self.place = place
        self.clock = Clock()
        self.recovery = Recovery(place.stores, dispatch or place.dispatch, clock=self.clock)

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


def test_a_pending_job_deleted_meanwhile_keeps_nothing_else_waiting(place: Place) -> None:
    silent = running_job(place)
    first, second = pending_job(place), pending_job(place)

    def dispatch(job_id: str) -> Job:
        if job_id == first.id:
            place.stores.jobs.delete(job_id)
        return place.dispatch(job_id)

    watch = Watch(place, dispatch)
    watch.look_for(1)
    assert status(place, second) is Status.QUEUED
    watch.look_for(16)
    assert status(place, silent) is Status.QUEUED


def test_a_job_that_cannot_be_helped_keeps_nothing_else_waiting(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    bad, silent = running_job(place), running_job(place)
    stuck, pending = pending_job(place), pending_job(place)

    def dispatch(job_id: str) -> Job:
        if job_id == stuck.id:
            raise ValueError("a mistake")
        return place.dispatch(job_id)

    with place.database.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE training_jobs SET warnings = '{' WHERE id = ?", (bad.id,))
    watch = Watch(place, dispatch)
    watch.look_for(20)
    assert status(place, pending) is Status.QUEUED
    assert status(place, silent) is Status.QUEUED
    passed_over = [record.getMessage() for record in caplog.records if "passes over" in record.getMessage()]
    assert sorted(passed_over) == sorted(
        f"Recovery cannot help job {job.id} and passes over it" for job in (bad, stuck)
    )


def pending_job(place: Place) -> Job:
    job = place.submit()
    place.stores.jobs.recall(job.id, job.celery_task_id or "")
    return job
