"""The script for operators walks a running service through a pause and a resume."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.scripted import ScriptedServer
from tests.e2e.service import RunningService, free_port

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_pause_resume.py"


def walk(url: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPT, "--url", url]
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDALL_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False, env={**own, **environment})


@pytest.mark.team
def test_every_promise_holds_on_a_running_service(shared_service: RunningService) -> None:
    walked = walk(shared_service.url)
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert "checks hold." in walked.stdout


def test_a_service_that_does_not_answer_is_a_failure() -> None:
    walked = walk(f"http://127.0.0.1:{free_port()}")
    assert walked.returncode == 1
    assert walked.stderr.startswith("FAIL")


def test_a_failed_check_tells_what_came_and_never_the_token() -> None:
    with ScriptedServer(lambda request: request.answer_problem(401, detail="No such token.", code="x")) as server:
        walked = walk(server.url, HEIMDALL_TOKEN="a-token-of-an-operator")
        anonymous = walk(server.url)
    assert walked.returncode == 1
    assert walked.stderr == ("FAIL  POST /jobs answers 201; what came last: POST /jobs: 401 No such token.\n")
    assert "a-token-of-an-operator" not in walked.stdout
    assert anonymous.returncode == 1
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer a-token-of-an-operator", None]


def test_a_page_instead_of_an_answer_is_a_failure_and_no_traceback() -> None:
    with ScriptedServer(lambda request: request.answer(201, b"<p>Log in.</p>", "text/html")) as server:
        walked = walk(server.url)
    assert walked.returncode == 1
    assert walked.stderr.startswith("FAIL")
    assert "Traceback" not in walked.stderr
