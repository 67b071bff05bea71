"""A process that cannot start ends with a sentence; it neither stays up nor leaves anything behind."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.service import HEIMDALL, RunningService, free_port
from tests.e2e.small_jobs import slow

UVICORN = HEIMDALL.with_name("uvicorn")
BROKEN = """
import heimdall.bootstrap.server as server
from heimdall.cli import main

class Broken:
    def __init__(self, app):
        raise ValueError("this middleware cannot be built")

assemble = server.assemble
def break_it(*parts):
    app = assemble(*parts)
    app.add_middleware(Broken)
    return app
server.assemble = break_it
main(["up", "--port", "0", "--slots", "0"])
"""


def ended(folder: Path, *command: "str | Path", **environment: str) -> "subprocess.CompletedProcess[str]":
    """It ends by itself, or the test fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDALL_")}
    return subprocess.run(
        command, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("name", "value"), [("HEIMDALL_FORWARDED_ALLOW_IPS", "nginx"), ("HEIMDALL_ARTIFACTS_URL", "foo://bar")]
)
def test_a_setting_that_cannot_be_used(tmp_path: Path, name: str, value: str) -> None:
    done = ended(tmp_path, HEIMDALL, "up", "--port", "0", **{name: value})
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("heimdall: ")
    assert name in last
    assert "Traceback" not in done.stderr


def test_an_application_that_cannot_be_built_is_not_served(tmp_path: Path) -> None:
    done = ended(tmp_path, sys.executable, "-c", BROKEN)
    assert done.returncode == 2
    assert "this middleware cannot be built" in done.stderr
    assert done.stderr.splitlines()[-1] == "heimdall: The service could not start; the log above says why."


def test_run_job_without_a_service(tmp_path: Path) -> None:
    done = ended(tmp_path, HEIMDALL, "run-job", "foo")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "heimdall: There is no data of a service in heimdall-data; name its folder with --data-dir.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_run_job_of_no_such_job(tmp_path: Path) -> None:
    assert ended(tmp_path, HEIMDALL, "migrate").returncode == 0
    done = ended(tmp_path, HEIMDALL, "run-job", "foo")
    assert (done.returncode, done.stderr) == (3, "heimdall: Training job foo not found\n")


def test_a_server_of_ones_own_beside_up(service: RunningService) -> None:
    service.start(warm=False)
    port = str(free_port())
    done = ended(
        service.data_dir, UVICORN, "--port", port, "heimdall.asgi:app", HEIMDALL_DATA_DIR=str(service.data_dir)
    )
    assert done.returncode == 3
    assert f"The data folder {service.data_dir} is in use by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_of_ones_own_with_a_bad_setting(tmp_path: Path) -> None:
    done = ended(tmp_path, UVICORN, "--port", "0", "heimdall.asgi:app", HEIMDALL_FORWARDED_ALLOW_IPS="nginx")
    assert done.returncode == 3
    assert "HEIMDALL_FORWARDED_ALLOW_IPS cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_leaves_nothing_in_a_new_folder(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = ended(tmp_path, HEIMDALL, "up", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use); choose another --port." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_up_says_where_everything_is_and_what_becomes_of_running_jobs(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    job_id = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    service.stop()
    service.start(warm=False)
    log = service.log
    assert f"on {service.url}, data in {service.data_dir.resolve()}, jobs: none yet" in log
    assert f"{service.url}/docs; next, in another terminal: heimdall submit --url {service.url}" in log
    assert f"({job_id}) runs as process " in log
    assert "Stopping: 1 running job(s) go back to the queue and continue later" in log
    assert f"({job_id}) is back in the queue after epoch " in log
    assert f"data in {service.data_dir.resolve()}, jobs: 1 queued, 1 completed" in log
