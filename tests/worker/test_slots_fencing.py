"""Two that believe they have the same job, a loop that dies, a loop that stops."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil

from heimdall.domain.job import Phase, Requested, Status
from heimdall.jobs.recovery import Recovery
from tests.worker.place import FAST, PRELOAD, Gate, Place, wait_until
from tests.worker.test_dataset_kills import generate
from tests.worker.test_slots_crashes import final_state


def test_a_stopped_worker_that_wakes_up_writes_nothing(place: Place, gate: Gate) -> None:
    recovery = Recovery(place.stores, place.dispatch, lease_seconds=1.0, gap_seconds=0.5, look_seconds=0.05)
    stop = threading.Event()
    thread = threading.Thread(target=recovery.run, args=[stop])
    thread.start()
    try:
        with place.working(name="one", patience=PATIENT) as one, place.working(name="two", patience=PATIENT) as two:
            job = place.submit(epochs=3, gate=gate.path)
            gate.open(1)
            gate.wait_for(2)
            wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
            first = one if one.pids else two
            pid = first.pids[job.id]
            stop_between_writes(place, pid)
            wait_until(lambda: place.stores.jobs.get(job.id).attempt == 2)
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)
            gate.open(2, 3)
            wait_until(lambda: not psutil.pid_exists(pid), timeout=5.0)
            job = place.wait(job)
        rows, _ = place.stores.history.metrics(job.id)
    finally:
        stop.set()
        thread.join()
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert [(row["epoch"], row["attempt"]) for row in rows] == [(1, 1), (2, 2), (3, 2)]
    assert all(event["attempt"] == 2 for event in place.events(job, "training:completed"))
    seqs = [event["seq"] for event in place.events(job)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_stopped_worker_that_wakes_up_publishes_nothing(place: Place, gate: Gate) -> None:
    with place.working(name="one", patience=PATIENT) as one, place.working(name="two", patience=PATIENT) as two:
        job = generate(place, gate=gate.path)
        gate.wait_for(0)
        gate.forget(0)
        pid = (one if one.pids else two).pids[job.id]
        stop_between_writes(place, pid)
        lost = place.stores.jobs.get(job.id)
        place.stores.attempts.lose(job.id, lost.lease_token or "", heartbeat=None, cause="test")
        place.dispatch(job.id)
        gate.wait_for(0)
        gate.open(0)
        assert place.wait(job).status is Status.COMPLETED
        dataset = place.stores.datasets.get(job.dataset_id or "")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not psutil.pid_exists(pid), timeout=5.0)
    assert place.stores.datasets.get(dataset.id) == dataset
    assert place.artifacts.local_folder(dataset.key or "", dataset.files).exists()
    assert [event["data"]["status"] for event in place.events(job, "training:completed")] == ["completed"]


def stop_between_writes(place: Place, pid: int) -> None:
    """SIGSTOP, at a moment when the process does not hold SQLite's lock."""
    with closing(sqlite3.connect(place.data_dir / "heimdall.db", isolation_level=None, timeout=0.0)) as other:
        while True:
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
            else:
                other.execute("ROLLBACK")
                return


def test_a_process_stopped_with_the_lock_in_its_hands_is_ended(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="stop_with_lock", only_attempt=1))
    assert (job.status, job.attempt, job.restarts) == (Status.COMPLETED, 2, 1)


def test_a_job_outlives_its_loop_and_is_adopted(place: Place, gate: Gate) -> None:
    job = place.submit(epochs=3, gate=gate.path)
    waiting = place.submit(epochs=1)
    loop = start_loop_process(place)
    gate.wait_for(1)
    pid = job_pid(place, job.id)
    loop.kill()
    loop.wait()
    gate.open(1)
    gate.wait_for(2)
    assert psutil.pid_exists(pid)
    with place.working() as adopter:
        wait_until(lambda: adopter.pids == {job.id: pid})
        assert place.stores.jobs.get(waiting.id).status is Status.QUEUED
        gate.open(2, 3)
        job = place.wait(job)
        assert place.wait(waiting).status is Status.COMPLETED
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)


def test_a_job_that_died_with_its_loop_is_lost_at_once(place: Place, gate: Gate) -> None:
    job = place.submit(epochs=2, gate=gate.path)
    loop = start_loop_process(place)
    gate.wait_for(1)
    pid = job_pid(place, job.id)
    loop.kill()
    loop.wait()
    os.kill(pid, signal.SIGKILL)
    gate.open(1, 2)
    begun = time.monotonic()
    with place.working():
        job = place.wait(job)
    assert time.monotonic() - begun < 5.0
    assert (job.status, job.attempt, job.restarts) == (Status.COMPLETED, 2, 1)


def test_a_stopping_loop_hands_its_jobs_back(place: Place, gate: Gate) -> None:
    with place.working():
        job = place.submit(epochs=3, gate=gate.path)
        gate.open(1)
        gate.wait_for(2)
    job = place.stores.jobs.get(job.id)
    assert (job.status, job.restarts, job.current_epoch) == (Status.QUEUED, 0, 1)
    assert place.stores.jobs.workers() == []
    gate.open(2, 3)
    with place.working():
        job = place.wait(job)
        twin = place.wait(place.submit(epochs=3))
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert final_state(place, job.id) == final_state(place, twin.id)


def test_a_job_that_does_not_hear_the_stop_is_killed_and_handed_back(place: Place) -> None:
    with place.working(patience=HASTY):
        job = place.submit(mishap="deaf", only_attempt=1)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
    job = place.stores.jobs.get(job.id)
    assert (job.status, job.restarts) == (Status.QUEUED, 0)
    with place.working():
        assert place.wait(job).status is Status.COMPLETED


def test_a_pause_that_finds_nothing_saved_when_the_loop_stops_is_called_off(place: Place) -> None:
    with place.working(patience=HASTY):
        job = place.submit(mishap="deaf", at_epoch=1, only_attempt=1, max_restarts=0)
        wait_until(lambda: place.stores.jobs.get(job.id).phase is Phase.TRAINING)
        place.stores.jobs.request(job.id, Requested.PAUSE)
    job = place.stores.jobs.get(job.id)
    assert (job.status, job.restarts, job.requested) == (Status.QUEUED, 0, None)
    assert "pause that was asked for is off" in job.warnings[-1]
    assert [event["data"]["requested"] for event in place.events(job, "training:requested")] == ["pause", None]
    with place.working():
        assert place.wait(job).status is Status.COMPLETED


PATIENT = replace(FAST, stopped_seconds=60.0)
HASTY = replace(FAST, drain_seconds=0.3, terminate_seconds=3.0)

LOOP = """
import json, sys
from pathlib import Path
from heimdall.domain.attempt import WorkerInfo
from heimdall.store import open_database, open_stores
from heimdall.wake import InProcessWake
from heimdall.worker.processes import ForkServer
from heimdall.worker.slots import SlotsLoop
told = json.loads(sys.argv[1])
stores = open_stores(open_database(told["url"]))
SlotsLoop(
    stores=stores, wake=InProcessWake(),
    worker=WorkerInfo(name="worker", host="here", slots=1, devices=told["devices"]),
    fork_server=ForkServer(told["preload"]), entry="tests.worker.entry:run_job", data_dir=Path(told["data_dir"]),
    dispatch=lambda job_id: None, job_env={"TEST_DATABASE_URL": told["url"]},
    payload={"pace": told["pace"], "dataset_gate": None},
).run()
"""


def start_loop_process(place: Place, *, devices: Sequence[str] = ()) -> "subprocess.Popen[bytes]":
    told = {"url": place.url, "data_dir": str(place.data_dir), "preload": PRELOAD, "pace": place.pace}
    told |= {"devices": list(devices)}
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", LOOP, json.dumps(told)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )


def job_pid(place: Place, job_id: str) -> int:
    wait_until(lambda: place.stores.attempts.attempts(job_id)[0].pid is not None)
    pid = place.stores.attempts.attempts(job_id)[0].pid
    assert pid is not None
    return pid
