"""Cancel and pause of running jobs."""

import time
from dataclasses import replace

import pytest

from heimdall.domain.job import Job, Reason, Requested, Status
from tests.worker.place import FAST, Gate, Place, wait_until
from tests.worker.test_slots_crashes import final_state


def test_a_cancelled_job_stops_within_a_second(place: Place, gate: Gate) -> None:
    with place.working():
        job = place.submit(gate=gate.path)
        gate.wait_for(1)
        asked = time.monotonic()
        place.stores.jobs.cancel(job.id)
        job = place.wait(job)
        assert time.monotonic() - asked < 1.0
    assert (job.status, job.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_USER)


def test_a_job_deaf_to_its_cancel_is_killed_and_cancelled(place: Place) -> None:
    with place.working() as loop:
        job = place.submit(mishap="deaf")
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
        place.stores.jobs.cancel(job.id)
        job = place.wait(job)
        wait_until(lambda: loop.num_free == 1)
    assert (job.status, job.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_USER)


def test_a_job_deaf_to_its_cancel_gets_sigterm_first(place: Place) -> None:
    with place.working(patience=replace(FAST, terminate_seconds=60.0)):
        job = place.submit(mishap="obey_sigterm")
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
        place.stores.jobs.cancel(job.id)
        job = place.wait(job)
    assert (job.status, job.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_USER)
    assert ("INFO", "obeying") in place.log(job)


@pytest.mark.parametrize("pauses", [(1,), (1, 3)])
def test_a_paused_job_goes_on_as_if_nothing_had_been(place: Place, gate: Gate, pauses: tuple[int, ...]) -> None:
    with place.working() as loop:
        job = place.submit(epochs=5, gate=gate.path)
        for epoch in range(1, 6):
            gate.wait_for(epoch)
            if epoch in pauses:
                place.stores.jobs.request(job.id, Requested.PAUSE)
            gate.open(epoch)
            if epoch in pauses:
                job = place.wait(job)
                assert_paused(place, job, epoch)
                wait_until(lambda: loop.num_free == 1)
                place.stores.jobs.resume(job.id)
                place.dispatch(job.id)
        job = place.wait(job)
        twin = place.wait(place.submit(epochs=5))
    assert (job.status, job.attempt) == (Status.COMPLETED, len(pauses) + 1)
    assert job.pause_checkpoint_path is None
    assert not [key for key in place.artifacts.keys(job.id) if "pause" in key]
    assert final_state(place, job.id) == final_state(place, twin.id)


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_a_pause_late_in_an_epoch_is_done_at_its_end_also_with_a_slow_database(
    place: Place, gate: Gate, seconds: float
) -> None:
    place.slow_seconds = seconds
    with place.working():
        job = place.submit(epochs=4, gate=gate.path)
        gate.open(1)
        gate.wait_for(2)
        wait_until(lambda: place.stores.jobs.get(job.id).heartbeat >= 2)
        place.stores.jobs.request(job.id, Requested.PAUSE)
        gate.open(2, 3, 4)
        job = place.wait(job, timeout=60)
    assert_paused(place, job, 2)


def assert_paused(place: Place, job: Job, epoch: int) -> None:
    assert (job.status, job.current_epoch) == (Status.PAUSED, epoch)
    assert job.pause_checkpoint_path == "checkpoints/pause_checkpoint.pth"
    artifact = place.stores.history.artifact(job.id, job.pause_checkpoint_path)
    place.artifacts.fetch(artifact.file)
    assert place.events(job)[-1]["data"]["status"] == "paused"


def test_a_pause_taken_back_does_nothing(place: Place, gate: Gate) -> None:
    with place.working():
        job = place.submit(epochs=2, gate=gate.path)
        gate.wait_for(1)
        place.stores.jobs.request(job.id, Requested.PAUSE)
        place.stores.jobs.resume(job.id)
        gate.open(1, 2)
        job = place.wait(job)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)


@pytest.mark.parametrize(("change", "status"), [("withdraw_late", Status.COMPLETED), ("cancel_late", Status.CANCELLED)])
def test_a_mind_changed_while_the_pause_is_saved_counts(place: Place, gate: Gate, change: str, status: Status) -> None:
    with place.working():
        job = place.submit(epochs=3, gate=gate.path, mishap=change, at_epoch=1)
        gate.wait_for(1)
        place.stores.jobs.request(job.id, Requested.PAUSE)
        gate.open(1, 2, 3)
        job = place.wait(job)
        twin = place.wait(place.submit(epochs=3))
    assert (job.status, job.attempt, job.requested) == (status, 1, None)
    assert job.pause_checkpoint_path is None
    if status is Status.COMPLETED:
        assert not [key for key in place.artifacts.keys(job.id) if "pause_checkpoint" in key]
        assert final_state(place, job.id) == final_state(place, twin.id)
    assert [event["data"]["status"] for event in place.events(job, "training:completed")] == [status.value]


def test_a_pause_in_the_last_epoch_completes(place: Place, gate: Gate) -> None:
    with place.working():
        job = place.submit(epochs=1, gate=gate.path)
        gate.wait_for(1)
        place.stores.jobs.request(job.id, Requested.PAUSE)
        gate.open(1)
        assert place.wait(job).status is Status.COMPLETED


@pytest.mark.parametrize("mishap", ["none", "pause_meanwhile"])
def test_a_damaged_pause_checkpoint_puts_the_job_back_to_paused(place: Place, gate: Gate, mishap: str) -> None:
    with place.working():
        job = place.submit(epochs=3, gate=gate.path, mishap=mishap, only_attempt=2)
        gate.wait_for(1)
        place.stores.jobs.request(job.id, Requested.PAUSE)
        gate.open(1, 2, 3)
        place.wait(job)
        file = place.stores.history.artifact(job.id, "checkpoints/pause_checkpoint.pth").file
        place.artifacts.fetch(file).write_bytes(b"nothing of use")
        place.stores.jobs.resume(job.id)
        place.dispatch(job.id)
        job = place.wait(job)
        assert (job.status, job.reason) == (Status.PAUSED, Reason.CHECKPOINT_DAMAGED)
        assert job.pause_checkpoint_path is not None
        place.stores.jobs.resume(job.id, last_good=1)
        place.dispatch(job.id)
        job = place.wait(job)
    assert (job.status, job.current_epoch) == (Status.COMPLETED, 3)
