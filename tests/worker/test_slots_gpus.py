"""GPUs are given to one job at a time. None is needed here: what is checked is what a job's process is told."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from heimdall.domain.job import Job, Reason, Status
from heimdall.worker.allotment import allot
from tests.worker.place import Gate, Place, wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(
    id="a", job_name="a", kind="k", status=Status.RUNNING, created_at=NOW, updated_at=NOW, config={}, total_epochs=1
)  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "config", "free", "got"),
    [
        (2, {"accelerator": "gpu", "devices": 2}, ["a", "b", "c"], ["a", "b"]),
        (3, {"accelerator": "auto", "devices": 2}, ["a", "b", "c"], ["a", "b", "c"]),
        (1, {}, ["b"], ["b"]),
        (0, {"accelerator": "auto"}, ["a", "b"], ["a"]),
        (0, {"accelerator": "auto", "devices": 2}, ["a", "b"], ["a", "b"]),
        (0, {"accelerator": "auto", "devices": 2}, ["a"], []),
        (0, {"accelerator": "auto", "devices": "auto"}, ["a", "b"], ["a"]),
        (0, {"accelerator": "auto", "devices": None}, ["a", "b"], ["a"]),
        (0, {"accelerator": "auto", "devices": -1}, ["a", "b"], ["a"]),
        (0, {"accelerator": "auto"}, [], []),
        (0, {"accelerator": "cpu"}, ["a"], []),
        (0, {}, ["a"], []),
    ],
)
def test_a_job_gets_what_it_must_have_or_can_use(
    gpus: int, config: dict[str, Any], free: list[str], got: list[str]
) -> None:
    assert allot(replace(JOB, gpus=gpus, config=config), free) == got


def test_no_gpu_is_given_to_two_jobs_at_once(place: Place, gate: Gate) -> None:
    options: dict[str, Any] = {"mishap": "print_gpus", "at_epoch": 1, "gate": gate.path, "epochs": 2}
    pair = place.submit(**options, gpus=2, priority=3)
    optional = place.submit(**options, accelerator="auto", priority=2)
    crowded = place.submit(**options, accelerator="auto", devices=2, priority=1)
    jobs = [pair, optional, crowded]
    with place.working(slots=4, devices=["GPU-1", "GPU-2", "GPU-3"]) as loop:
        wait_until(lambda: len(loop.pids) == 3)
        late = place.submit(**options, gpus=1)
        gate.open(1)
        wait_until(lambda: all(place.stores.jobs.get(job.id).current_epoch == 1 for job in jobs))
        assert place.stores.jobs.get(late.id).status is Status.QUEUED
        gate.open(2)
        ended = [place.wait(job) for job in [*jobs, late]]
    assert [job.status for job in ended] == [Status.COMPLETED] * 4
    assert [seen(place, job) for job in jobs] == ["sees GPU-1,GPU-2", "sees GPU-3", "sees "]
    assert seen(place, late) in {"sees GPU-1", "sees GPU-3"}


def test_where_no_gpu_is_shared_out_no_job_sees_one(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="print_gpus", at_epoch=1, epochs=1, accelerator="auto"))
    assert seen(place, job) == "sees "


def test_a_job_that_needs_more_gpus_than_there_are_waits_or_is_refused(place: Place) -> None:
    """It waits for another worker, where there may be one."""
    job = place.submit(gpus=2, priority=9)
    with place.working(devices=["GPU-1"]):
        after = place.wait(place.submit())
        assert (after.status, place.stores.jobs.get(job.id).status) == (Status.COMPLETED, Status.QUEUED)
    with place.working(devices=["GPU-1"], is_only_worker=True):
        job = place.wait(job)
        after = place.wait(place.submit(gpus=1))
    assert (job.status, job.reason, after.status) == (Status.FAILED, Reason.INVALID_CONFIG, Status.COMPLETED)
    assert (job.error_message or "").startswith("The job needs 2 GPU(s) and this machine, the only one here, has 1;")


def seen(place: Place, job: Job) -> str:
    return next(line for _, line in place.log(job) if line.startswith("sees"))
