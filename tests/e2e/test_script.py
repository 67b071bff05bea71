"""The script for operators walks a running service through a pause and a resume."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.service import RunningService, free_port

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_pause_resume.py"


def walk(url: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, SCRIPT, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.team
def test_every_promise_holds_on_a_running_service(shared_service: RunningService) -> None:
    walked = walk(shared_service.url)
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert "checks hold." in walked.stdout


def test_a_service_that_does_not_answer_is_a_failure() -> None:
    walked = walk(f"http://127.0.0.1:{free_port()}")
    assert walked.returncode == 1
    assert walked.stderr.startswith("FAIL")
