"""SIGTERM to the server hands its job back, counts nothing against it, and the next start completes it."""

import os
import subprocess
from pathlib import Path

import psutil

from tests.chaos.record import record
from tests.e2e.service import HEIMDALL, RunningService, free_port
from tests.e2e.small_jobs import slow


def test_a_stopped_server_hands_its_job_back(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    twin = service.submit(slow(dataset_id, epochs=5))
    service.wait_ended(twin)
    job_id = service.submit(slow(dataset_id, epochs=5))
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    assert service.stop() == 0
    assert job_id not in service.job_processes()

    service.start(warm=False)
    job = service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 2, 0)
    assert job["warnings"] == []
    recovered = [event["data"] for event in service.events(job_id) if event["event"] == "training:recovered"]
    assert [data["reason"] for data in recovered] == ["worker_stopped"]
    assert record(service, job_id) == record(service, twin)


def test_a_hung_fork_server_delays_no_stop(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    job_id = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    assert service.process is not None
    (fork_server,) = psutil.Process(service.process.pid).children()
    fork_server.suspend()
    assert service.stop() == 0
    assert not fork_server.is_running()
    service.start(warm=False)  # the folder is free again
    assert service.job(job_id)["restarts"] == 0
    service.act(job_id, "cancel")


def test_a_signal_in_the_moment_of_the_start_is_heard(tmp_path: Path) -> None:
    """Between the line that names the address and the server's own handlers; it was swallowed there, for ever."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDALL_")}
    command = [HEIMDALL, "up", "--port", str(free_port()), "--data-dir", tmp_path / "data"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=kept) as process:
        assert process.stdout is not None
        while b"http://" not in process.stdout.readline():
            assert process.poll() is None
        process.terminate()
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
