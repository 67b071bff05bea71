"""A slots loop that is told to stop comes to an end, whatever else is broken at that moment."""

import os
import signal
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from heimdall.domain.job import Job, Status
from heimdall.worker.processes import ForkServer, ProcessServer, SpawnServer
from heimdall.worker.slots import SlotsLoop
from tests.worker.place import FAST, PRELOAD, Place, wait_until

HASTY = replace(FAST, drain_seconds=1.0, terminate_seconds=2.0)
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


@contextmanager
def deaf_job(place: Place, server: ProcessServer) -> Generator[tuple[SlotsLoop, Job, int]]:
    """A loop with a server of its own, and the process of its job, which ignores SIGTERM."""
    loop = place.loop(patience=HASTY, server=server)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    job = place.submit(mishap="deaf", only_attempt=1)
    wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1, timeout=60)
    pid = loop.pids[job.id]
    try:
        yield loop, job, pid
        thread.join(1.0)
        assert not thread.is_alive()
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


def stop(loop: SlotsLoop) -> None:
    stopping = threading.Thread(target=loop.stop, daemon=True)
    stopping.start()
    stopping.join(40.0)
    assert not stopping.is_alive(), "the loop does not end"


@pytest.fixture
def own_server() -> Iterator[ForkServer]:
    server = ForkServer(PRELOAD, env=ENVIRONMENT, hung_seconds=0.5)
    yield server
    if server.is_alive and server.pid is not None:
        os.kill(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_fork_server_dies_or_hangs_meanwhile(place: Place, own_server: ForkServer, number: signal.Signals) -> None:
    with deaf_job(place, own_server) as (loop, job, pid):
        assert own_server.pid is not None
        stopping = threading.Thread(target=loop.stop, daemon=True)
        stopping.start()
        os.kill(own_server.pid, number)
        stopping.join(40.0)
        assert not stopping.is_alive(), "the loop does not end"
        assert not is_running(pid)
        assert not own_server.is_alive
    assert place.stores.jobs.get(job.id).status is Status.QUEUED


def test_jobs_were_spawned(place: Place) -> None:
    with deaf_job(place, SpawnServer(env=ENVIRONMENT)) as (loop, job, pid):
        stop(loop)
        assert not is_running(pid)
    assert place.stores.jobs.get(job.id).status is Status.QUEUED


def test_the_database_is_locked(place: Place, own_server: ForkServer) -> None:
    with (
        deaf_job(place, own_server) as (loop, _, pid),
        closing(sqlite3.connect(place.data_dir / "heimdall.db", isolation_level=None)) as intruder,
    ):
        intruder.execute("BEGIN EXCLUSIVE")
        stop(loop)
        assert not is_running(pid)


def test_a_hung_fork_server_is_replaced(place: Place, own_server: ForkServer) -> None:
    """It neither starts jobs nor notices that they end."""
    loop = place.loop(patience=FAST, server=own_server)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        job = place.submit(mishap="deaf", only_attempt=1)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1, timeout=60)
        first = own_server.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        os.kill(loop.pids[job.id], signal.SIGKILL)
        job = place.wait(job, timeout=60)
        assert (job.status, job.attempt) == (Status.COMPLETED, 2)
        assert own_server.pid != first
    finally:
        stop(loop)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
