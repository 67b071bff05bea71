"""A user's mistake ends in one sentence, never in a traceback, and never in what nobody asked for."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.client.scripted import ScriptedServer
from tests.e2e.service import HEIMDALL, RunningService

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])  # Python writes at the end, or at once
@pytest.mark.parametrize("words", [("config",), ("config", "--json"), ("--help",)])
def test_a_full_disk_under_the_output_is_one_sentence(words: tuple[str, ...], unbuffered: str) -> None:
    with FULL.open("wb") as full:
        typed = subprocess.run(
            [HEIMDALL, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert typed.returncode == 1
    (line,) = typed.stderr.splitlines()
    told = json.loads(line)["detail"] if "--json" in words else line
    assert told.endswith("No space left on device.")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_is_told_nothing(unbuffered: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    typed = subprocess.run(
        [HEIMDALL, "config"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(theirs)
    assert (typed.returncode, typed.stderr) == (1, b"")


def test_a_download_that_finds_no_room_names_its_file(
    service: RunningService, finished_job: dict[str, Any], tmp_path: Path
) -> None:
    words = ["artifacts", "get", finished_job["id"], "checkpoints/best_model.pth", "--url", service.url]
    typed = subprocess.run(
        ["sh", "-c", 'ulimit -f 1 && exec "$@"', "sh", HEIMDALL, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (typed.returncode, typed.stdout) == (1, "")
    assert typed.stderr == "heimdall: best_model.pth: File too large.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("show", "some"),
        ("logs", "11111111-1111-4111-8111-111111111111", "-f"),
        ("metrics", "11111111-1111-4111-8111-111111111111", "--csv"),
        ("submit", "epochs=1"),
    ],
)
def test_a_login_page_instead_of_the_service_is_one_sentence(heimdall: Terminal, words: tuple[str, ...]) -> None:
    with ScriptedServer(lambda request: request.answer(200, b"<p>Log in.</p>", "text/html; charset=utf-8")) as server:
        typed = heimdall(*words, "--url", server.url)
    assert (typed.code, typed.out) == (1, "")
    assert typed.err.startswith(f"heimdall: {server.url} is no Heimdall service: it answers with text/html")
    assert len(typed.err.splitlines()) == 1
