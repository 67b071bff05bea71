"""`heimdall demo`: the whole product in one command, and nothing left behind."""

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.e2e.service import HEIMDALL, RunningService, free_port, wait_until


def start(data_dir: Path, *flags: str) -> "subprocess.Popen[str]":
    command = [HEIMDALL, "demo", "--data-dir", data_dir, "--port", str(free_port()), "--samples", "150", *flags]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HEIMDALL_")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=data_dir.parent
    )


def num_processes(data_dir: Path) -> int:
    """Processes that have to do with this folder, by command line or working files."""
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return sum(str(data_dir) in line for line in listed.splitlines())


def test_demo_trains_then_uses_what_is_there_and_leaves_nothing_running(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    first = start(data_dir, "--epochs", "1")
    said, _ = first.communicate(timeout=180)
    assert first.returncode == 0, said
    assert "Generating the dataset demo-150" in said
    assert "epoch 1/1" in said
    assert re.search(r"^val_rmse\t[\d.]+\tkm$", said, re.MULTILINE)
    url = re.findall(r"http://127\.0\.0\.1:\d+", said)[0]
    assert f"heimdall up --data-dir {data_dir}" in said
    assert "The service stops now" in said
    assert "/docs" not in said  # it would lead nowhere
    assert num_processes(data_dir) == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url)

    second = start(data_dir, "--epochs", "1000")
    assert second.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("epoch 1/"):
        lines.append(second.stdout.readline())
        assert lines[-1], "".join(lines)
    assert "The dataset demo-150 is there already.\n" in lines
    (job_id,) = re.findall(r"^Training job (\S+)$", "".join(lines), re.MULTILINE)
    second.send_signal(signal.SIGINT)
    rest, _ = second.communicate(timeout=60)
    assert second.returncode == 130, rest
    assert "Traceback" not in rest
    assert num_processes(data_dir) == 0
    wait_until(lambda: not job_processes(job_id), seconds=5, what="the job's process is gone")


def job_processes(job_id: str) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if job_id in line]


def test_beside_a_running_service_of_its_folder_it_uses_that(tmp_path: Path) -> None:
    service = RunningService(tmp_path / "data")
    service.start()
    try:
        demo = start(service.data_dir, "--epochs", "1")
        said, _ = demo.communicate(timeout=180)
        assert demo.returncode == 0, said
        assert f"The service already runs at {service.url}, its data in {service.data_dir}." in said
        assert [job["status"] for job in service.api.get("/jobs").json()["jobs"]] == ["completed", "completed"]
        assert service.process is not None
        assert service.process.poll() is None
    finally:
        assert service.close() == 0
