"""The fork server by itself."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from heimdall.worker.process_table import is_same_process
from heimdall.worker.processes import (
    ForkServer,
    ForkServerError,
    JobRequest,
    ProcessServer,
    SpawnServer,
)
from tests.worker.place import wait_until

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(["json", "no_such_module"], env={"PYTHONPATH": ROOT})
    server.start()
    wait_until(lambda: server.is_warm)
    yield server
    server.close()


def request(tmp_path: Path, function: str, **payload: object) -> JobRequest:
    return JobRequest(
        entry=f"tests.worker.small_jobs:{function}",
        payload=payload,
        title="heimdall run-job test",
        output=tmp_path / "job.out",
        env={"SECRET": "of the database"},
    )


def run(server: ProcessServer, what: JobRequest) -> int | None:
    ended = threading.Event()
    process = server.spawn(what, ended.set)
    assert process.wait(30.0)
    assert ended.wait(1.0)
    return process.status


def test_a_module_that_cannot_be_imported_is_told_of(server: ForkServer) -> None:
    assert list(server.failures) == ["no_such_module"]
    assert "No module named" in server.failures["no_such_module"]


@pytest.mark.parametrize("is_spawned", [False, True])
def test_a_job_gets_its_payload_and_environment(server: ForkServer, tmp_path: Path, is_spawned: bool) -> None:
    either: ProcessServer = SpawnServer(env={"PYTHONPATH": ROOT}) if is_spawned else server
    assert run(either, request(tmp_path, "tell", word="hello")) == 0
    assert (tmp_path / "job.out").read_text() == "hello of the database 0 heimdall run-job test\n"


@pytest.mark.parametrize("is_spawned", [False, True])
def test_the_raw_status_comes_back(server: ForkServer, tmp_path: Path, is_spawned: bool) -> None:
    either: ProcessServer = SpawnServer(env={"PYTHONPATH": ROOT}) if is_spawned else server
    status = run(either, request(tmp_path, "leave", code=7))
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 7
    status = run(either, request(tmp_path, "die"))
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in (tmp_path / "job.out").read_text()


def test_an_entry_that_raises_leaves_its_traceback(server: ForkServer, tmp_path: Path) -> None:
    status = run(server, request(tmp_path, "no_such_function"))
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 1
    assert "AttributeError" in (tmp_path / "job.out").read_text()


def test_what_a_job_leaves_running_is_ended(server: ForkServer, tmp_path: Path) -> None:
    run(server, request(tmp_path, "leave_a_child"))
    child = int((tmp_path / "job.out").read_text())
    wait_until(lambda: not psutil.pid_exists(child))


def test_jobs_live_on_when_the_server_dies(server: ForkServer, tmp_path: Path) -> None:
    ended = threading.Event()
    process = server.spawn(request(tmp_path, "wait_for_file", path=str(tmp_path / "go")), ended.set)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.is_alive and not server.is_warm)
    with pytest.raises(ForkServerError):
        server.spawn(request(tmp_path, "tell"), ended.set)
    assert is_same_process(process.pid, process.started, "heimdall run-job test")
    assert not is_same_process(process.pid, process.started - 100.0, "heimdall run-job other")
    (tmp_path / "go").touch()
    assert process.wait(10.0)
    assert process.status is None
    server.start()
    wait_until(lambda: server.is_warm)
    (tmp_path / "job.out").unlink()
    assert run(server, request(tmp_path, "tell", word="again")) == 0


def test_jobs_live_on_when_the_server_is_closed(tmp_path: Path) -> None:
    server = ForkServer([], env={"PYTHONPATH": ROOT})
    server.start()
    wait_until(lambda: server.is_warm)
    process = server.spawn(request(tmp_path, "wait_for_file", path=str(tmp_path / "go")), lambda: None)
    server.close()
    assert psutil.pid_exists(process.pid)
    (tmp_path / "go").touch()
    assert process.wait(10.0)


def test_what_a_job_prints_and_opens_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    server = SpawnServer(env={"PYTHONPATH": ROOT, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert run(server, request(tmp_path, "speak")) == 0
    assert (tmp_path / "job.out").read_text("utf-8") == "grün caf\\udce9 1\n"
