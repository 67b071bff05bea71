"""Every command against a running service: what it prints and its exit code."""

import csv
import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from heimdall.cli.app import app
from tests.cli.conftest import Terminal
from tests.e2e.service import HEIMDALL, RunningService, free_port

SMALL = ("num_workers=0", "model_architecture=triangulation")
ENDLESS = (*SMALL, "epochs=1000", "early_stop_patience=0")


def test_submit_and_follow(at_service: Terminal, dataset_id: str) -> None:
    words = ("submit", "--name", "followed", "--tag", "a", f"dataset_id={dataset_id}", "epochs=2", *SMALL, "--follow")
    typed = at_service(*words)
    assert typed.code == 0, typed.err
    lines = typed.out.splitlines()
    assert lines[0].split()[1:] == ["followed", "queued"]
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["1/2", "2/2"]
    assert lines[-1].startswith("completed (finished) after ")


def test_submit_and_follow_as_json(at_service: Terminal, dataset_id: str) -> None:
    typed = at_service("submit", f"dataset_id={dataset_id}", "epochs=1", *SMALL, "--follow", "--json")
    assert typed.code == 0, typed.err
    job, *events = [json.loads(line) for line in typed.out.splitlines()]
    assert job["config"]["epochs"] == 1
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "training:completed"


def test_submit_from_a_file(at_service: Terminal, tmp_path: Path, dataset_id: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"dataset_id: {dataset_id}\nepochs: 5\nlearning_rate: 1e-4\n")
    typed = at_service("submit", "-f", str(path), "epochs=1", *SMALL, "--priority", "-5", "--json")
    job = json.loads(typed.out)
    assert (job["config"]["epochs"], job["config"]["learning_rate"], job["priority"]) == (1, 0.0001, -5)


def test_the_same_idempotency_key_creates_once(at_service: Terminal, dataset_id: str) -> None:
    words = ("submit", f"dataset_id={dataset_id}", "epochs=1", *SMALL, "--idempotency-key", "once", "--json")
    assert json.loads(at_service(*words).out)["id"] == json.loads(at_service(*words).out)["id"]


def test_a_failed_job_is_exit_code_1(at_service: Terminal, dataset_id: str) -> None:
    typed = at_service("submit", f"dataset_id={dataset_id}", "min_snr_db=100000", "epochs=1", *SMALL, "--follow")
    assert typed.code == 1
    assert "failed (invalid_config)" in typed.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("submit", "epochs=ten"), "epochs takes integer, not 'ten'"),
        (("submit", "epoch=3"), "did you mean 'epochs'"),
        (("submit", "epochs=0"), "epochs"),
        (("submit", "epochs"), "key=value"),
        (("submit", "--kind", "nothing", "epochs=1"), "no trainer of kind 'nothing'"),
        (("submit", "-f", "nothing.yaml"), "nothing.yaml"),
        (("submit", "--frob"), "--frob"),
        (("submit", "--epochs", "3"), "config fields are given as epochs=VALUE"),
        (("submit", "--max-restarts=-1"), "--max-restarts"),
        (("ls", "--limit", "0"), "--limit"),
        (("artifacts", "get", "finished"), "--all"),
        (("frob",), "frob"),
        (("metrics", "finished", "-o", "table.xls"), ".csv or .parquet"),
        (("serve",), "heimdall up"),
        (("worker",), "heimdall up"),
        (("up", "--port", "70000"), "PORT"),
    ],
)
def test_usage_is_exit_code_2(
    at_service: Terminal, finished_job: dict[str, Any], words: tuple[str, ...], told: str
) -> None:
    typed = at_service(*words)
    assert typed.code == 2
    assert told in typed.err
    assert "Traceback" not in typed.err


@pytest.mark.parametrize(
    "words",
    [
        ("show", "11111111-1111-4111-8111-111111111111"),
        ("show", "no-such-name"),
        ("watch", "11111111-1111-4111-8111-111111111111"),
        ("artifacts", "get", "finished", "nothing.bin"),
        ("datasets", "show", "nothing"),
        ("rm", "11111111-1111-4111-8111-111111111111"),
    ],
)
def test_not_found_is_exit_code_3(at_service: Terminal, finished_job: dict[str, Any], words: tuple[str, ...]) -> None:
    typed = at_service(*words)
    assert (typed.code, typed.out) == (3, "")
    assert "Traceback" not in typed.err


def test_conflict_is_exit_code_4(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    typed = at_service("pause", "finished")
    assert typed.code == 4
    assert "completed" in typed.err
    as_json = at_service("datasets", "generate", "--name", "small", "--samples", "100", "--json")
    assert as_json.code == 4
    assert json.loads(as_json.err)["status"] == 409


def test_unreachable_is_exit_code_5(heimdall: Terminal) -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody else can take the port meanwhile
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        typed = heimdall("ls", "--url", url)
    assert typed.code == 5
    assert url in typed.err
    assert "heimdall up" in typed.err


def test_list(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    typed = at_service("ls", "--tag", "one", "--status", "completed")
    heading, row = [line.split("\t") for line in typed.out.splitlines()]
    shown = dict(zip(heading, row, strict=True))
    assert (shown["id"], shown["name"], shown["progress"]) == (
        finished_job["id"],
        "finished",
        "2/2",
    )  # nothing is cut in a pipe
    assert shown["best"] == f"val_loss {finished_job['best_val_loss']!r}"
    page = json.loads(at_service("ls", "--tag", "one", "--json").out)
    assert page["jobs"][0]["id"] == finished_job["id"]


def test_a_job_is_named_by_id_by_its_beginning_or_by_name(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    for word in (finished_job["id"], finished_job["id"].upper(), finished_job["id"][:13], "finished"):
        assert json.loads(at_service("show", word, "--json").out)["job"]["id"] == finished_job["id"]
    assert finished_job["id"] in at_service("show", "finished").out


def test_an_ambiguous_word_is_refused(at_service: Terminal, service: RunningService, dataset_id: str) -> None:
    config = {"dataset_id": dataset_id, "epochs": 1, "num_workers": 0}
    twins = [service.submit(config, job_name="twin", priority=-9) for _ in range(2)]
    typed = at_service("cancel", "twin")
    assert typed.code == 2
    lines = typed.err.splitlines()
    assert lines[0].endswith("names 2 jobs; use the id of one:")
    for twin in twins:  # told apart by status and time
        assert any(re.match(rf"  {twin}  twin  \w+  \d{{4}}-\d\d-\d\d \d\d:\d\d UTC", line) for line in lines)


def test_watch_of_an_ended_job(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    typed = at_service("watch", "finished")
    assert typed.code == 0
    assert typed.out.startswith("completed (finished) after ")
    events = [json.loads(line) for line in at_service("watch", "finished", "--json").out.splitlines()]
    assert len(events) == finished_job["event_seq"]
    rest = at_service("watch", "finished", "--json", "--after", str(len(events) - 2)).out.splitlines()
    assert [json.loads(line) for line in rest] == events[-2:]


def test_metrics(at_service: Terminal, tmp_path: Path, finished_job: dict[str, Any]) -> None:
    table = [line.split("\t") for line in at_service("metrics", "finished").out.splitlines()]
    assert [row[0] for row in table] == ["epoch", "1", "2"]
    rows = json.loads(at_service("metrics", "finished", "--json").out)
    assert set(table[0]) == set(rows[0])  # every column, with every digit
    assert [float(row[table[0].index("val_rmse")]) for row in table[1:]] == [row["val_rmse"] for row in rows]
    read = list(csv.DictReader(io.StringIO(at_service("metrics", "finished", "--csv").out)))
    assert [float(row["train_loss"]) for row in read] == [row["train_loss"] for row in rows]
    assert at_service("metrics", "finished", "-o", str(tmp_path / "m.parquet")).code == 0
    assert (tmp_path / "m.parquet").read_bytes()[:4] == b"PAR1"


def test_logs(at_service: Terminal, service: RunningService, finished_job: dict[str, Any]) -> None:
    stored = service.api.get(f"/jobs/{finished_job['id']}/logs").json()["lines"]
    for words in (("logs", "finished", "--json"), ("logs", "finished", "-f", "--json")):
        assert [json.loads(line) for line in at_service(*words).out.splitlines()] == stored
    assert len(at_service("logs", "finished").out.splitlines()) == len(stored)
    assert at_service("logs", "finished", "--level", "ERROR").out == ""
    assert at_service("logs", "finished", "--level", "error").code == 0


def test_artifacts(at_service: Terminal, tmp_path: Path, finished_job: dict[str, Any]) -> None:
    listed = {entry["name"]: entry for entry in json.loads(at_service("artifacts", "ls", "finished", "--json").out)}
    assert f"\t{listed['config.yaml']['sha256']}\n" in at_service("artifacts", "ls", "finished").out
    name = "checkpoints/best_model.pth"
    assert at_service("artifacts", "get", "finished", name).out == "best_model.pth\n"
    content = (tmp_path / "best_model.pth").read_bytes()
    assert hashlib.sha256(content).hexdigest() == listed[name]["sha256"]


def test_a_fetched_config_can_be_submitted_again(
    at_service: Terminal, tmp_path: Path, finished_job: dict[str, Any]
) -> None:
    assert at_service("artifacts", "get", "finished", "config.yaml").code == 0
    typed = at_service("submit", "-f", str(tmp_path / "config.yaml"), "--json")
    assert typed.code == 0, typed.err
    assert json.loads(typed.out)["config"] == finished_job["config"]


def test_pause_resume_cancel_retry_remove(at_service: Terminal, service: RunningService, dataset_id: str) -> None:
    words = ("submit", "--name", "steered", "--priority", "9", f"dataset_id={dataset_id}", *ENDLESS)
    job_id = at_service(*words).out.split()[0]
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch is done")
    assert "current epoch" in at_service("pause", "steered").out
    service.wait_job(job_id, lambda job: job["status"] == "paused", what="the job is paused")
    assert json.loads(at_service("resume", "steered", "--json").out)["status"] == "queued"
    service.wait_job(job_id, lambda job: job["status"] == "running", what="the job runs again")
    assert at_service("cancel", "steered").code == 0
    assert service.wait_ended(job_id)["status"] == "cancelled"
    assert at_service("watch", "steered").code == 1
    assert at_service("retry", "steered").code == 0
    assert at_service("rm", "steered").out == f"Deleted steered ({job_id}).\n"
    assert at_service("show", job_id).code == 3


def test_clone(at_service: Terminal, finished_job: dict[str, Any]) -> None:
    job = json.loads(at_service("clone", "finished", "epochs=1", "--name", "copy", "--json").out)
    assert job["config"] == {**finished_job["config"], "epochs": 1}
    assert (job["job_name"], job["parent_job_id"]) == ("copy", finished_job["id"])


def test_datasets(at_service: Terminal) -> None:
    typed = at_service("datasets", "generate", "--name", "other", "--samples", "150", "seed=3", "--follow")
    assert typed.code == 0, typed.err
    assert "generating 150/150" in typed.out
    found = json.loads(at_service("datasets", "show", "other", "--json").out)
    assert (found["num_samples"], found["config"]["seed"]) == (150, 3)
    assert f"{found['id']}\tother\tready\t150" in at_service("datasets", "ls").out
    assert at_service("datasets", "rm", "other").out == f"Deleted other ({found['id']}).\n"
    assert at_service("datasets", "show", "other").code == 3


def test_trainers_and_workers(at_service: Terminal) -> None:
    kinds = [line.split("\t")[0] for line in at_service("trainers").out.splitlines()]
    assert {"kind", "localization", "synthetic"} <= set(kinds)  # and those that somebody installed beside
    fields = dict(line.split("\t", 1) for line in at_service("trainers", "localization").out.splitlines())
    assert fields["epochs"].startswith("integer 1 to 1000\t100\t")
    assert fields["learning_rate"].startswith("number above 0.0, at most 1.0\t")
    assert len(json.loads(at_service("workers", "--json").out)) == 1


def test_config_masks_passwords(heimdall: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_DATABASE_URL", "postgresql://me:hidden-word@db/name")
    for words in (("config",), ("config", "--json")):
        typed = heimdall(*words)
        assert typed.code == 0
        assert "hidden-word" not in typed.out
        assert "postgresql://me:***@db/name" in typed.out


def test_doctor_and_migrate(heimdall: Terminal, tmp_path: Path) -> None:
    assert json.loads(heimdall("migrate", "--data-dir", "new", "--json").out)["revision"]
    assert (tmp_path / "new" / "heimdall.db").exists()
    findings = json.loads(heimdall("doctor", "--data-dir", "new", "--json").out)
    assert {"python", "database", "trainers"} <= {finding["check"] for finding in findings}


@pytest.mark.parametrize("command", ["up", "demo", "migrate"])
def test_a_file_where_the_data_folder_should_be_is_named(
    heimdall: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HEIMDALL_PORT", str(free_port()))  # another service may have the usual one
    (tmp_path / "data").write_text("")
    typed = heimdall(command, "--data-dir", "data")
    assert typed.code != 0
    assert "data" in typed.err
    assert "Traceback" not in typed.err


def test_ctrl_c_ends_the_watching_and_not_the_job(service: RunningService, dataset_id: str) -> None:
    config = {"dataset_id": dataset_id, "epochs": 1000, "early_stop_patience": 0, "num_workers": 0}
    job_id = service.submit(config, priority=9)
    command = [sys.executable, "-m", "heimdall.cli", "watch", job_id, "--url", service.url]
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watcher.stdout is not None
    while not watcher.stdout.readline().startswith(b"epoch"):
        pass
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=20)
    assert watcher.returncode == 130
    assert err.startswith(b"The job keeps running; `heimdall watch ")
    assert service.job(job_id)["status"] == "running"
    service.api.post(f"/jobs/{job_id}/cancel")
    service.wait_ended(job_id)


def test_a_shell_completes_commands_and_options() -> None:
    def completed(line: str) -> str:
        environment = {**os.environ, "_HEIMDALL_COMPLETE": "complete_bash", "COMP_WORDS": line}
        environment["COMP_CWORD"] = str(len(line.split(" ")) - 1)
        return subprocess.run([HEIMDALL], capture_output=True, text=True, check=True, env=environment).stdout

    assert completed("heimdall su").split() == ["submit"]
    assert "--max-restarts" in completed("heimdall submit --max").split()
    assert "--max-restarts" in completed("heimdall submit --name= --max").split()


@pytest.mark.parametrize("words", [(), ("submit",), ("artifacts",), ("artifacts", "get"), ("tokens", "create")])
def test_h_is_help(heimdall: Terminal, words: tuple[str, ...]) -> None:
    assert heimdall(*words, "-h") == heimdall(*words, "--help")
    assert heimdall(*words, "-h").code == 0


def test_help_swallows_no_word_as_markup() -> None:
    """Rich takes `[default: …]` for a style and prints nothing."""
    commands = [typer.main.get_command(app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        for text in (command.help, *(getattr(param, "help", None) for param in command.params)):
            assert Text.from_markup(text or "").plain == (text or "")
    assert len(commands) > 30
