"""Jobs on two devices: whichever process goes wrong, the job ends with its reason and no process stays."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from heimdall.domain.job import Job, Reason, Requested, Status
from heimdall.worker.processes import ForkServer
from tests.worker.place import PRELOAD, Gate, Place, wait_until

TORCH = ["torch", "torch._dynamo", "lightning_fabric", "tests.worker.paired"]
ROOT = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """One that has loaded torch too."""
    server = ForkServer([*PRELOAD, *TORCH], env={"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"})
    server.start()
    wait_until(lambda: server.is_warm, timeout=60)
    assert server.failures == {}
    yield server
    server.close()


@pytest.mark.parametrize(
    ("mishap", "at_rank", "reason", "message"),
    [
        ("raise", 1, Reason.ERROR, "ValueError: the plane is not flat"),
        ("memory", 1, Reason.OUT_OF_MEMORY, "The job ran out of memory; use a smaller batch size or model."),
        ("exit", 1, Reason.CRASHED, "trainer exited with code 3 in epoch 2"),
        ("exit_0", 1, Reason.CRASHED, "trainer exited with code 0 in epoch 2"),
        ("segfault", 1, Reason.CRASHED, "trainer ended with SIGSEGV in epoch 2"),
        ("raise", 0, Reason.ERROR, "ValueError: the plane is not flat"),
        ("segfault", 0, Reason.CRASHED, "trainer ended with SIGSEGV in epoch 2"),
    ],
)
def test_a_rank_that_goes_wrong_fails_the_job(
    place: Place, mishap: str, at_rank: int, reason: Reason, message: str
) -> None:
    with place.working() as loop:
        job = place.submit(kind="paired", mishap=mishap, at_rank=at_rank)
        wait_until(lambda: job.id in loop.pids)
        pid = loop.pids[job.id]
        wait_until(lambda: has_begun_to_train(place, job), timeout=60)
        reached = time.monotonic()
        job = place.wait(job)
        assert time.monotonic() - reached < 5.0
        wait_until(lambda: loop.num_free == 1, timeout=2.0)
        assert_nothing_left(pid)
    assert (job.status, job.reason, job.error_message) == (Status.FAILED, reason, message)
    lines = [line for _, line in place.log(job)]
    if mishap == "raise":
        assert any("in raise_something" in line for line in lines)
        assert lines.count("ValueError: the plane is not flat") == 1
    if mishap == "segfault":
        assert [line.count("Segmentation fault") for line in lines].count(1) == 1
        assert any("read_address_zero" in line for line in lines)
    if at_rank == 1:
        assert any(line.startswith("Process 1 of this job's devices ended: ") for line in lines)


@pytest.mark.parametrize("at_rank", [0, 1])
def test_a_killed_rank_costs_only_time(place: Place, at_rank: int) -> None:
    with place.working() as loop:
        job = place.submit(kind="paired", mishap="kill", at_rank=at_rank)
        wait_until(lambda: job.id in loop.pids)
        first = loop.pids[job.id]
        wait_until(lambda: place.stores.jobs.get(job.id).attempt == 2, timeout=60)
        assert_nothing_left(first)
        job = place.wait(job, timeout=60)
        twin = place.wait(place.submit(kind="paired"), timeout=60)
    assert (job.status, job.attempt, job.restarts) == (Status.COMPLETED, 2, 1)
    assert "the job's process was ended by SIGKILL" in job.warnings[0]
    assert digests(place, job) == digests(place, twin)
    assert digests(place, job)[-1]["machine"]["num_devices"] == 2


def test_pause_and_cancel_take_effect_at_once_and_leave_no_process(place: Place, gate: Gate, tmp_path: Path) -> None:
    """Paused in its second epoch, resumed, cancelled in the last."""
    with place.working() as loop:
        job = place.submit(kind="paired", gate=gate.path)
        at_gate(gate, "1-1")
        gate_open(gate, "1-1")
        at_gate(gate, "1-2")
        pid = loop.pids[job.id]
        place.stores.jobs.request(job.id, Requested.PAUSE)
        gate_open(gate, "1-2")
        asked = time.monotonic()
        job = place.wait(job)
        assert time.monotonic() - asked < 5.0
        assert (job.status, job.current_epoch) == (Status.PAUSED, 2)
        wait_until(lambda: loop.num_free == 1, timeout=2.0)
        assert_nothing_left(pid)
        place.stores.jobs.resume(job.id)
        place.dispatch(job.id)
        gate_open(gate, "2-1")
        at_gate(gate, "2-2")
        pid = loop.pids[job.id]
        asked = time.monotonic()
        place.stores.jobs.cancel(job.id)
        job = place.wait(job)
        assert time.monotonic() - asked < 2.0
        wait_until(lambda: loop.num_free == 1, timeout=2.0)
        assert_nothing_left(pid)
    assert (job.status, job.current_epoch) == (Status.CANCELLED, 3)


def test_a_rank_that_stands_still_is_ended_with_its_job(place: Place) -> None:
    with place.working() as loop:
        job = place.submit(kind="paired", mishap="stop")
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1, timeout=60)
        pid = loop.pids[job.id]
        wait_until(lambda: any(one.status() == psutil.STATUS_STOPPED for one in family(pid)))
        place.stores.jobs.cancel(job.id)
        job = place.wait(job)
        wait_until(lambda: loop.num_free == 1, timeout=2.0)
        assert_nothing_left(pid)
    assert (job.status, job.reason) == (Status.CANCELLED, Reason.CANCELLED_BY_USER)


def test_ranks_do_not_outlive_their_job_even_without_anybody_to_end_them(place: Place) -> None:
    """The fork server, which would end the session, stands still while the first process is killed."""
    server = place.server.pid
    assert server is not None
    with place.working() as loop:
        job = place.submit(kind="paired", mishap="stop", at_rank=0)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1, timeout=60)
        first = psutil.Process(loop.pids[job.id])
        (second,) = first.children()
        os.kill(server, signal.SIGSTOP)
        try:
            first.kill()
            second.wait(timeout=5.0)
        finally:
            os.kill(server, signal.SIGCONT)
        place.stores.jobs.cancel(job.id)
        place.wait(job, timeout=60)


def has_begun_to_train(place: Place, job: Job) -> bool:
    seen = place.stores.jobs.get(job.id)
    return seen.current_epoch > 0 or seen.status.is_ended


def assert_nothing_left(pid: int) -> None:
    """A killed process needs a moment to be gone."""
    wait_until(lambda: family(pid) == [], timeout=2.0)


def family(pid: int) -> list[psutil.Process]:
    """What lives in the session of a job's process."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def at_gate(gate: Gate, name: str) -> None:
    wait_until(Path(gate.path, f"at-{name}").exists, timeout=60)


def gate_open(gate: Gate, name: str) -> None:
    Path(gate.path, name).touch()


def digests(place: Place, job: Job) -> list[dict[str, Any]]:
    """Manifests of every epoch's checkpoint, oldest first."""
    saved = {found.epoch: found.manifest for found in reversed(place.stores.attempts.checkpoints(job.id))}
    return [{name: saved[epoch][name] for name in ("epoch", "machine", "sha256")} for epoch in sorted(saved)]
