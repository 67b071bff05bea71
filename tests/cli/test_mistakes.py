"""A user's mistake ends in one sentence, never in a traceback, and never in what nobody asked for."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import obstore
import pytest

from tests.cli.conftest import Terminal
from tests.client.scripted import Request, ScriptedServer
from tests.e2e.service import HEIMDALL, RunningService

FULL = Path("/dev/full")
SMALL = {"num_workers": 0, "model_architecture": "triangulation", "early_stop_patience": 0}


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


def test_a_proxy_that_asks_for_a_password_is_told_apart_from_the_service(heimdall: Terminal) -> None:
    with ScriptedServer(lambda request: request.answer(401, b"<h1>401</h1>", "text/html")) as server:
        typed = heimdall("ls", "--url", server.url)
    assert (typed.code, typed.out) == (1, "")
    assert "proxy" in typed.err
    assert "https://user:password@host" in typed.err
    assert len(typed.err.splitlines()) == 1


@pytest.mark.parametrize("word", ["", " ", "\udcff"])
@pytest.mark.parametrize("words", [("rm",), ("rm", "finished"), ("show",), ("datasets", "show"), ("datasets", "rm")])
def test_an_empty_word_names_nothing(
    service: RunningService, heimdall: Terminal, finished_job: dict[str, Any], words: tuple[str, ...], word: str
) -> None:
    typed = heimdall(*words, word, "--url", service.url)
    assert (typed.code, typed.out) == (2, "")
    assert " names no " in typed.err
    assert service.job(finished_job["id"])["status"] == "completed"


def test_a_job_is_looked_for_by_the_server_and_chosen_here(heimdall: Terminal) -> None:
    jobs = [
        {"id": f"{number}a", "job_name": name, "status": "failed", "created_at": "2026-01-01T00:00:00Z"}
        for number, name in enumerate(["some", "some more", "one"])
    ]

    def answer(request: Request) -> None:
        if request.method == "GET":
            request.answer_json({"jobs": jobs, "total": 3, "next_cursor": None})
        else:
            request.answer(204, b"")

    with ScriptedServer(answer) as server:
        assert heimdall("rm", "some", "--url", server.url).out == "Deleted some (0a).\n"
        assert heimdall("rm", "2A", "--url", server.url).out == "Deleted one (2a).\n"
        assert heimdall("rm", "om", "--url", server.url).code == 3
    asked = [request.query["q"] for request in server.requests if request.method == "GET"]
    assert asked == ["some", "2A", "om"]


@pytest.mark.parametrize("field", ["num_samples=5000", "name=other"])
def test_a_dataset_field_given_twice_is_refused(at_service: Terminal, field: str) -> None:
    typed = at_service("datasets", "generate", "--name", "twice", "--samples", "100", field)
    assert (typed.code, typed.out) == (2, "")
    assert f"{field.partition('=')[0]} is given twice" in typed.err
    assert at_service("datasets", "show", "twice").code == 3


def test_a_damaged_pause_checkpoint_names_the_option(
    at_service: Terminal, service: RunningService, dataset_id: str
) -> None:
    job_id = service.submit({**SMALL, "dataset_id": dataset_id, "epochs": 1000}, priority=9)
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch is done")
    service.act(job_id, "pause")
    service.wait_job(job_id, lambda job: job["status"] == "paused", what="the job is paused")
    (key,) = [key for key in service.keys(job_id) if key.endswith("pause_checkpoint.pth")]
    obstore.delete(service.objects, key)
    refused = at_service("resume", job_id)
    assert refused.code == 4
    assert "The pause checkpoint is missing" in refused.err
    assert refused.err.endswith(" On the command line: use --from-last-good.\n")
    assert json.loads(at_service("resume", job_id, "--json").err)["code"] == "checkpoint_damaged"
    assert at_service("resume", job_id, "--from-last-good").code == 0
    assert at_service("rm", job_id).code == 0
