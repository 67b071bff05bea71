"""What becomes of a job whose trainer goes wrong: a clear reason, a living server, a free slot."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from heimdall.domain.job import Reason, Status
from tests.services_here import skip_without
from tests.worker.place import FAST, Gate, Place, wait_until


@pytest.mark.parametrize(
    ("mishap", "reason", "message"),
    [
        ("raise", Reason.ERROR, "ValueError: the plane is not flat"),
        ("config", Reason.INVALID_CONFIG, "This machine has no GPU."),
        ("exit", Reason.CRASHED, "trainer exited with code 3 in epoch 2"),
        ("segfault", Reason.CRASHED, "trainer ended with SIGSEGV in epoch 2"),
        ("memory", Reason.OUT_OF_MEMORY, "The job ran out of memory; use a smaller batch size or model."),
        ("stop_itself", Reason.ERROR, "The trainer stopped although nobody had asked it to."),
    ],
)
def test_a_trainer_that_goes_wrong_fails_its_job_alone(place: Place, mishap: str, reason: Reason, message: str) -> None:
    with place.working() as loop:
        job = place.wait(place.submit(mishap=mishap))
        ended = time.monotonic()
        wait_until(lambda: loop.num_free == 1, timeout=1.0)
        assert time.monotonic() - ended < 1.0
        after = place.wait(place.submit(epochs=1))
    assert (job.status, job.reason, job.error_message) == (Status.FAILED, reason, message)
    assert after.status is Status.COMPLETED
    assert place.events(job)[-1]["data"]["error_message"] == message


def test_the_log_of_a_crash_ends_with_the_trace(place: Place) -> None:
    with place.working():
        segfault = place.wait(place.submit(mishap="segfault"))
        exited = place.wait(place.submit(mishap="exit"))
        raised = place.wait(place.submit(mishap="raise"))
    assert any("Fatal Python error: Segmentation fault" in line for _, line in place.log(segfault))
    assert any("read_address_zero" in line for _, line in place.log(segfault))
    assert [line for _, line in place.log(exited)].count("leaving without a word") == 1
    assert ("ERROR", "ValueError: the plane is not flat") in place.log(raised)
    assert ("INFO", "about to fail") in place.log(raised)
    for job in (segfault, exited, raised):
        assert place.events(job)[-1]["event"] == "training:completed"


def test_a_full_disk_keeps_the_last_good_checkpoint(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="full_disk", at_epoch=3))
    assert (job.status, job.current_epoch) == (Status.FAILED, 2)
    assert "The disk is full" in (job.error_message or "")
    assert {key.split("/")[2] for key in place.artifacts.keys(job.id) if "last" in key} == {"e1", "e2"}


def test_a_killed_job_ends_like_one_left_alone(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=5, gate=gate.path)
        gate.open(1, 2)
        gate.wait_for(3)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 2)
        os.kill(loop.pids[job.id], signal.SIGKILL)
        gate.open(3, 4, 5)
        job = place.wait(job)
        twin = place.wait(place.submit(epochs=5))
    assert (job.status, job.attempt, job.restarts) == (Status.COMPLETED, 2, 1)
    assert final_state(place, job.id) == final_state(place, twin.id)
    assert curve(place, job.id) == curve(place, twin.id)
    assert [event["data"]["resume_epoch"] for event in place.events(job, "training:recovered")] == [3]


def test_a_damaged_checkpoint_is_passed_over(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=4, gate=gate.path)
        gate.open(1, 2)
        gate.wait_for(3)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 2)
        newest = place.stores.attempts.checkpoints(job.id)[0]
        path = place.artifacts.fetch(newest.file)
        path.write_bytes(b"!" + path.read_bytes()[1:])
        os.kill(loop.pids[job.id], signal.SIGKILL)
        gate.open(3, 4)
        job = place.wait(job)
        twin = place.wait(place.submit(epochs=4))
    assert "The checkpoint of epoch 2 is damaged; training goes on after epoch 1." in job.warnings
    assert final_state(place, job.id) == final_state(place, twin.id)
    assert curve(place, job.id) == curve(place, twin.id)


def test_a_machine_that_can_store_nothing_leaves_the_jobs_to_others(place: Place) -> None:
    folder = place.data_dir / "attempts"
    folder.write_bytes(b"a file where the folder should be")
    with place.working(patience=replace(FAST, unable_seconds=0.2)):
        job = place.submit(epochs=1)
        wait_until(lambda: place.stores.jobs.get(job.id).attempt >= 2)
        folder.unlink()
        job = place.wait(job)
    assert (job.status, job.restarts) == (Status.COMPLETED, 0)
    assert job.warnings == ["The metric 'odd' became NaN in epoch 1."]  # of the trainer, none of its starts


def test_restarts_without_progress_come_to_an_end(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=2, gate=gate.path, max_restarts=1)
        for _ in range(2):
            gate.wait_for(1)
            gate.forget(1)
            os.kill(loop.pids[job.id], signal.SIGKILL)
        job = place.wait(job)
    assert (job.status, job.reason, job.attempt) == (Status.FAILED, Reason.RESTARTS_EXHAUSTED, 2)
    cause = "the job's process was ended by SIGKILL"
    assert [(attempt.cause, attempt.message) for attempt in place.stores.attempts.attempts(job.id)] == [
        ("worker_lost", cause)
    ] * 2
    assert job.warnings == [f"Attempt 1 was lost ({cause}); it starts again."]
    assert ("WARNING", job.warnings[0]) in place.log(job)
    assert cause in (job.error_message or "")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup of 100 MB of its own, below that of this process (version 1 or 2)."""
    memberships = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    parents = {
        controllers: Path("/sys/fs/cgroup", controllers, path.lstrip("/")) for _, controllers, path in memberships
    }
    is_first_version = "memory" in parents
    folder = parents["memory" if is_first_version else ""] / f"heimdall-test-{uuid4().hex}"
    try:
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if is_first_version else "memory.max")
        limit.write_text(str(100_000_000))
    except OSError as error:
        skip_without("cgroup", error)
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def test_a_job_that_the_kernel_ends_for_memory_is_not_tried_again(place: Place, gate: Gate, cgroup: Path) -> None:
    with place.working() as loop:
        job = place.submit(mishap="much_memory", gate=gate.path)
        gate.open(1)
        gate.wait_for(2)
        (cgroup / "cgroup.procs").write_text(str(loop.pids[job.id]))
        gate.open(2)
        job = place.wait(job)
        after = place.wait(place.submit(epochs=1))
    message = "The machine ran out of memory and ended the job; use a smaller batch size or model."
    assert (job.status, job.reason, job.error_message) == (Status.FAILED, Reason.OUT_OF_MEMORY, message)
    assert (job.attempt, after.status) == (1, Status.COMPLETED)


def final_state(place: Place, job_id: str) -> object:
    artifact = place.stores.history.artifact(job_id, "metrics.json")
    return json.loads(place.artifacts.fetch(artifact.file).read_text())


def curve(place: Place, job_id: str) -> list[tuple[int, float]]:
    rows, _ = place.stores.history.metrics(job_id)
    return [(row["epoch"], row["train_loss"]) for row in rows]
