"""Terminals and pipes that are closed or not UTF-8, and words that are no text: one sentence at most, no traceback."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.cli.screen import AtTerminal
from tests.e2e.service import HEIMDALL, RunningService

NASTY = "\x1b[2J\x1b]0;owned\x07 harmless\r→ name"


@pytest.fixture(scope="module")
def nasty_job(service: RunningService, finished_job: dict[str, Any]) -> str:
    """The id of a job whose name a terminal would obey, once it has ended."""
    job = service.act(finished_job["id"], "clone", {"job_name": NASTY, "priority": 9, "notes": NASTY})
    service.wait_ended(job["id"])
    return job["id"]


def run(
    words: list[str | bytes], url: str, *, redirect: str = "", **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirect}', "bash", HEIMDALL, *words],
        capture_output=True,
        check=False,
        env={**os.environ, "HEIMDALL_URL": url, **environment},
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_output_that_is_not_utf8(service: RunningService, nasty_job: str, encoding: str) -> None:
    for words in (["ls"], ["show", nasty_job], ["trainers", "localization"], ["watch", nasty_job], ["--help"]):
        typed = run([*words], service.url, PYTHONIOENCODING=encoding)
        assert b"Traceback" not in typed.stderr, words
        assert typed.stdout.decode(encoding)
        assert b"\x1b[2J" not in typed.stdout
    typed = run(["show", nasty_job, "--json"], service.url, PYTHONIOENCODING=encoding)
    assert json.loads(typed.stdout)["job"]["job_name"] == NASTY


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_machine_without_a_locale(service: RunningService, nasty_job: str, locale: str) -> None:
    typed = run(["ls"], service.url, LC_ALL=locale, LANG=locale)
    assert (typed.returncode, typed.stderr) == (0, b"")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", [["ls"], ["ls", "--json"], ["--help"], ["show", "finished"]])
def test_closed_streams(
    service: RunningService, finished_job: dict[str, Any], words: list[str | bytes], redirect: str
) -> None:
    typed = run(words, service.url, redirect=redirect)
    assert (typed.returncode, typed.stderr) == (0, b"")


def test_an_error_with_closed_streams_is_its_exit_code(service: RunningService) -> None:
    assert run(["show", "nothing"], service.url, redirect=">&- 2>&-").returncode == 3


def test_a_reader_that_takes_one_line(service: RunningService, finished_job: dict[str, Any]) -> None:
    typed = run(["logs", "finished", "--json"], service.url, redirect="| head -1")
    assert (len(typed.stdout.splitlines()), typed.stderr) == (1, b"")


@pytest.mark.parametrize(
    "words",
    [
        [b"submit", b"--name", b"caf\xe9", b"epochs=1"],
        [b"submit", b"dataset_id=caf\xe9"],
        [b"ls", b"--tag", b"caf\xe9"],
        [b"show", b"caf\xe9"],
        [b"trainers", b"caf\xe9"],
        [b"datasets", b"show", b"caf\xe9"],
        [b"artifacts", b"get", b"finished", b"caf\xe9"],
    ],
)
def test_bytes_that_are_no_text(
    service: RunningService, finished_job: dict[str, Any], words: list[str | bytes]
) -> None:
    typed = run(words, service.url)
    assert (typed.returncode, typed.stdout) == (2, b"")
    assert b"text in UTF-8" in typed.stderr
    assert len(typed.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [("ls",), ("show",), ("watch",), ("clone",), ("pause",)])
def test_a_terminal_is_not_given_codes_of_others(service: RunningService, nasty_job: str, words: tuple[str]) -> None:
    job = [] if words == ("ls",) else [nasty_job]
    with AtTerminal([HEIMDALL, *words, *job, "--url", service.url], 200) as terminal:  # its screen knows no such codes
        terminal.read_to_end()
        assert b"\x1b[2J" not in terminal.shown
        assert b"\x1b]0;" not in terminal.shown
        assert "Traceback" not in terminal.screen.text
        assert words != ("ls",) or r"\x1b[2J\x1b]0;owned\x07 harmless → name" in terminal.screen.text


def test_a_pipe_keeps_one_row_a_line(service: RunningService, nasty_job: str) -> None:
    typed = run(["ls", "--limit", "500"], service.url)
    assert b"\r" not in typed.stdout
    assert len({line.count(b"\t") for line in typed.stdout.splitlines()}) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "--url", ""),
        ("ls", "--status="),
        ("ls", "-q", " "),
        ("submit", "--name", "", "epochs=1"),
        ("submit", "--kind", ""),
        ("submit", "--file", ""),
        ("submit", "--dataset", ""),
        ("submit", "--tag", "a", "--tag", ""),
        ("submit", "dataset_id="),
        ("clone", "finished", "--name", ""),
        ("clone", "finished", "dataset_id="),
        ("metrics", "finished", "--output", ""),
        ("up", "--data-dir", ""),
        ("migrate", "--database-url", ""),
        ("datasets", "generate", "--name", "", "--samples", "100"),
    ],
)
def test_an_empty_option_is_refused(
    at_service: Terminal, service: RunningService, finished_job: dict[str, Any], words: tuple[str, ...]
) -> None:
    before = service.api.get("/jobs").json()["total"]
    typed = at_service(*words)
    assert (typed.code, typed.out) == (2, "")
    assert "was a shell variable empty?" in typed.err
    assert service.api.get("/jobs").json()["total"] == before
    as_json = at_service(*words, "--json") if words[0] not in ("up",) else typed
    assert as_json.code == 2
    if as_json is not typed:
        assert set(json.loads(as_json.err)) == {"detail", "code", "status", "errors"}


def test_a_folder_named_by_a_dot_is_not_empty(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    assert "is a folder" in at_service("metrics", "finished", "-o", ".").err


@pytest.mark.parametrize(
    "words",
    [("frob",), ("submit", "--frob"), ("ls", "--limit", "x"), ("show",), ("ls", "--limit", "0"), ("ls", "extra")],
)
def test_wrong_usage_is_one_sentence_or_json(at_service: Terminal, words: tuple[str, ...]) -> None:
    typed = at_service(*words)
    assert (typed.code, typed.out) == (2, "")
    (line,) = typed.err.splitlines()
    assert line.startswith("heimdall: ")
    assert "--help` lists what there is." in line
    as_json = json.loads(at_service(*words, "--json").err)
    assert (as_json["code"], as_json["status"]) == ("usage", 422)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("logs", "some", "--level", "loud"),
            "'--level': 'loud' is not one of 'debug', 'info', 'warning', 'error', 'critical'.",
        ),
        (("up", "--port", "x"), "'--port': it must be a whole number."),
        (("gc", "--hours", "x"), "'--hours': it must be a number."),
        (("ls", "--limit", "0"), "'--limit': it must be at least 1."),
    ],
)
def test_a_wrong_value_of_an_option_is_told_in_our_words(heimdall: Terminal, words: tuple[str, ...], told: str) -> None:
    assert heimdall(*words).err.startswith(f"heimdall: Invalid value for {told} `heimdall {words[0]} --help`")
