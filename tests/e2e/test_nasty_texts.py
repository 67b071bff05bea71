"""A trainer that says what no file, database or terminal takes: its job ends as it should, and every reader answers."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from websockets.sync.client import connect

from tests.e2e.service import HEIMDALL, RunningService
from tests.plugin import install
from tests.services.postgres import SHARED, need_postgres

TRAIN = r"""
import logging, os, warnings
from heimdall.sdk import EpochReport

NASTY = os.fsdecode(b"caf\xe9.csv") + "\0\x1b[31m\u2028\ufffe \U0001f600"

def run(context):
    context.checkpoint_to_load()
    context.started(dataset_size=1, train_samples=1, val_samples=0, model_architecture=NASTY)
    logging.getLogger("a.library").warning("skipped %s", NASTY)
    warnings.warn("python " + NASTY)
    print(NASTY)
    os.write(2, b"\xff\0 raw bytes\n")
    context.warn("skipped " + NASTY)
    context.progress(1, 2, NASTY)
    context.log({NASTY: 1.0, "right": 2.0}, 1)
    context.save_artifact(os.fsdecode(b"caf\xe9.csv"), "metrics", lambda file: file.write(b"x"))
    context.finish_epoch(EpochReport(
        epoch=1, step=1, metrics={"val_loss": 0.5, NASTY: 1.0}, is_best=True, best_epoch=1, best_value=0.5, keep=False,
        manifest={NASTY: NASTY}, write_checkpoint=lambda file: file.write(b"x")))
    context.drain()
    if context.config["epochs"] > 1:
        raise ValueError(NASTY)
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nasty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp(request.param)
    install(folder / "installed", "nasty", train=TRAIN)
    environment = {"PYTHONPATH": str(folder / "installed")}
    name = f"heimdall_{uuid.uuid4().hex}"
    is_postgres = request.param == "postgresql"
    if is_postgres:
        need_postgres()
        execute(f"CREATE DATABASE {name}")
        environment["HEIMDALL_DATABASE_URL"] = f"postgresql://{SHARED}/{name}"
    service = RunningService(folder / "data", environment=environment).start()
    yield service
    service.close()
    if is_postgres:
        execute(f"DROP DATABASE {name} WITH (FORCE)")


def execute(statement: str) -> None:
    with psycopg.connect(f"postgresql://{SHARED}/postgres", autocommit=True) as server:
        server.execute(statement.encode())


@pytest.mark.parametrize(("epochs", "status"), [(1, "completed"), (2, "failed")])
def test_every_reader_answers(nasty: RunningService, epochs: int, status: str) -> None:
    job_id = nasty.submit({"epochs": epochs}, kind="nasty")
    job = nasty.wait_ended(job_id)
    assert (job["status"], job["current_epoch"]) == (status, 1)
    assert (job["error_message"] or "caf\ufffd").count("caf\ufffd") == 1
    paths = ("", "/events", "/logs", "/logs?format=text", "/metrics", "/metrics?format=csv", "/series", "/artifacts")
    for path in (*paths, "/checkpoints"):
        answer = nasty.api.get(f"/jobs/{job_id}{path}")
        assert answer.status_code == 200, (path, answer.text)
        assert "\0" not in answer.text
    assert nasty.api.get("/jobs").status_code == 200
    assert "skipped caf\ufffd.csv" in nasty.api.get(f"/jobs/{job_id}/logs").text
    assert "right" in [one["name"] for one in nasty.api.get(f"/jobs/{job_id}/series").json()]
    events = nasty.events(job_id)
    assert over_socket(nasty, job_id) == [event["seq"] for event in events]
    assert over_sse(nasty, job_id) == len(events)
    for command in (["logs", job_id], ["show", job_id], ["ls"], ["watch", job_id]):
        assert "Traceback" not in on_terminal(nasty, *command)


def over_socket(service: RunningService, job_id: str) -> list[int]:
    url = f"{service.url.replace('http', 'ws')}/ws/training/{job_id}?after=0"
    with connect(url) as socket:
        messages = [json.loads(message) for message in socket]
    assert messages[0]["event"] == "connected"
    return [message["seq"] for message in messages if message["event"] not in {"connected", "training_status"}]


def over_sse(service: RunningService, job_id: str) -> int:
    with service.api.stream("GET", f"/jobs/{job_id}/events/stream", params={"after": 0}) as answer:
        return sum(1 for line in answer.iter_lines() if line.startswith("id:"))


def on_terminal(service: RunningService, *words: str) -> str:
    environment = {**os.environ, "HEIMDALL_URL": service.url}
    done = subprocess.run([HEIMDALL, *words], env=environment, capture_output=True, timeout=60, check=False)
    return done.stderr.decode("utf-8", "replace")
