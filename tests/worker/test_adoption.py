"""A slots loop starts on a folder whose last loop was killed, and finds what that one left running."""

import os
import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from heimdall.domain.job import Job, Status
from tests.worker.place import Gate, Place, wait_until
from tests.worker.test_slots_fencing import job_pid, start_loop_process


@contextmanager
def left_running(place: Place, gate: Gate, *, gpus: int = 0) -> Generator[tuple[Job, int]]:
    """A job that stands before its second epoch, and its process, whose loop was killed."""
    job = place.submit(epochs=3, gate=gate.path, gpus=gpus)
    loop = start_loop_process(place, devices=["GPU-1", "GPU-2"])
    gate.open(1)
    gate.wait_for(2)
    wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
    pid = job_pid(place, job.id)
    loop.kill()
    loop.wait()
    try:
        yield job, pid
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def test_it_is_adopted_whatever_the_last_loop_was_called(place: Place, gate: Gate) -> None:
    """Older releases named a loop by its port."""
    with left_running(place, gate) as (job, pid):
        waiting = place.submit(epochs=1)
        with place.working(name="renamed") as loop:
            assert loop.pids == {job.id: pid}
            assert loop.num_free == 0
            gate.open(2, 3)
            job = place.wait(job)
            assert place.wait(waiting).status is Status.COMPLETED
    assert (job.status, job.attempt, job.restarts) == (Status.COMPLETED, 1, 0)
    assert not list((place.data_dir / "attempts").iterdir())


def test_its_devices_are_held(place: Place, gate: Gate) -> None:
    with left_running(place, gate, gpus=2) as (job, _):
        waiting = place.submit(epochs=1, gpus=1)
        with place.working(name="renamed", slots=2, devices=["GPU-1", "GPU-2"]) as loop:
            wait_until(lambda: bool(place.stores.jobs.workers()))
            assert loop.num_free == 1
            assert place.stores.jobs.get(waiting.id).status is Status.QUEUED
            gate.open(2, 3)
            assert place.wait(job).attempt == 1
            assert place.wait(waiting).status is Status.COMPLETED


def test_the_stopped_process_of_a_deleted_job_is_ended(place: Place, gate: Gate) -> None:
    with left_running(place, gate) as (job, pid):
        os.kill(pid, signal.SIGSTOP)
        place.stores.jobs.take_lease(job.id)
        place.stores.jobs.delete(job.id)
        with place.working(name="renamed") as loop:
            wait_until(lambda: not psutil.pid_exists(pid))
            wait_until(lambda: loop.num_free == 1)


def test_one_that_was_never_recorded_is_recorded(place: Place, gate: Gate) -> None:
    """The loop was killed between the start of the process and its record."""
    with left_running(place, gate) as (job, pid):
        with place.database.writer.begin() as connection:
            connection.exec_driver_sql("UPDATE attempts SET pid = NULL, process_started = NULL")
        with place.working(name="renamed"):
            wait_until(lambda: place.stores.attempts.attempts(job.id)[0].pid == pid)
            gate.open(2, 3)
            assert place.wait(job).attempt == 1


@pytest.mark.parametrize("is_copied", [False, True])
def test_one_of_another_folder_or_database_is_left_alone(place: Place, gate: Gate, is_copied: bool) -> None:
    with left_running(place, gate) as (job, pid):
        if is_copied:
            copy = place.data_dir / "copy"
            shutil.copytree(place.data_dir, copy, ignore=shutil.ignore_patterns("copy", "gate"))
            other = replace(place, data_dir=copy)
        else:
            other = replace(place, database_name="postgresql://db:5432/other")
        with other.working(name="renamed") as loop:
            wait_until(lambda: bool(place.stores.jobs.workers()))
            assert loop.pids == {}
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        gate.open(2, 3)
        assert place.wait(job).attempt == 1
