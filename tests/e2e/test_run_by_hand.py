"""`heimdall run-job`, alone and under torchrun, beside a service that starts no jobs itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import HEIMDALL, RunningService, free_port
from tests.e2e.small_jobs import slow, small
from tests.e2e.test_devices import assert_nothing_left

TORCHRUN = HEIMDALL.with_name("torchrun")


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, str]]:
    """It and a dataset."""
    service = RunningService(tmp_path_factory.mktemp("idle")).start()
    few = service.generate("few", 100)
    service.stop()
    service.slots = 0
    service.start()
    yield service, few
    assert service.close() == 0


def run_job(service: RunningService, job_id: str) -> list[str | Path]:
    return [HEIMDALL, "run-job", job_id, "--data-dir", service.data_dir]


def start_nodes(service: RunningService, job_id: str, num_nodes: int) -> "list[subprocess.Popen[str]]":
    """The lines of the recipe, one a machine; here both machines are this one."""
    options = ["--nnodes", str(num_nodes), "--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    options += ["--master-port", str(free_port()), "--no-python"]
    return [
        subprocess.Popen(
            [TORCHRUN, *options, "--node-rank", str(number), *run_job(service, job_id)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(num_nodes)
    ]  # fmt: skip


def finish(nodes: "list[subprocess.Popen[str]]") -> None:
    for node in nodes:
        output, _ = node.communicate(timeout=120)
        assert node.returncode == 0, output


def test_a_queued_job_can_be_run_in_the_foreground(idle: tuple[RunningService, str]) -> None:
    service, few = idle
    job_id = service.submit(small(few, epochs=2))
    subprocess.run(run_job(service, job_id), check=True, timeout=120)
    assert service.job(job_id)["status"] == "completed"


def test_two_nodes_of_torchrun_pause_and_go_on_as_one(idle: tuple[RunningService, str]) -> None:
    """Resumed on one machine only, the job names the difference and the certificate the epoch."""
    service, few = idle
    job_id = service.submit(slow(few, epochs=2, accelerator="cpu"))
    nodes = start_nodes(service, job_id, 2)
    service.wait_job(job_id, lambda job: job["phase"] == "training", what="it trains")
    service.act(job_id, "pause")
    finish(nodes)
    assert (service.job(job_id)["status"], service.job(job_id)["current_epoch"]) == ("paused", 1)
    assert_nothing_left(job_id)

    service.act(job_id, "resume")
    finish(start_nodes(service, job_id, 1))
    job = service.job(job_id)
    assert job["status"] == "completed"
    assert job["warnings"] == ["From epoch 2 on this job runs on another machine: num_devices was 2, is 1."]
    certificate: dict[str, Any] = service.api.get(f"/jobs/{job_id}/certificate").json()
    assert certificate["comparable_until_epoch"] == 1
    assert certificate["machine_changes"] == [{"epoch": 2, "was": {"num_devices": 2}, "is": {"num_devices": 1}}]
    assert_nothing_left(job_id)
