# pyright: reportUnknownMemberType=false
"""A release that adds, removes or narrows config fields finds jobs of the one before it, and harms none of them."""

import hashlib
import json
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from heimdall.trainers.checkpoint import load
from tests.e2e.service import HEIMDALL, RunningService, wait_until
from tests.e2e.small_jobs import slow

OLDER: dict[str, Any] = {"mixup": 0.2, "good_geometry_gdop": None}  # a field removed since, and one that is new
IGNORED = "The config field mixup (it was 0.2) is unknown to this release and is ignored."


def test_a_paused_job_of_an_older_release_is_resumed_cloned_and_verified(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    job_id = service.submit(slow(dataset_id, epochs=4, keep_every=1))
    wait_until(lambda: service.api.post(f"/jobs/{job_id}/pause").status_code == 200, seconds=60, what="it runs")
    paused = service.wait_job(job_id, lambda job: job["status"] == "paused", what="it pauses")
    service.stop()
    make_older(service, job_id, OLDER)
    service.start()
    shown = service.job(job_id)
    assert shown["config"]["mixup"] == 0.2
    assert service.act(job_id, "resume")["resume_epoch"] == paused["current_epoch"] + 1
    job = service.wait_ended(job_id)
    assert (job["status"], job["current_epoch"]) == ("completed", 4)
    assert job["warnings"] == [IGNORED]
    names = [event["data"]["message"] for event in service.events(job_id) if event["event"] == "training:warning"]
    assert names == [IGNORED]
    command = [HEIMDALL, "verify", job_id, "--json", "--epoch", str(paused["current_epoch"])]
    found = subprocess.run([*command, "--data-dir", service.data_dir], capture_output=True, timeout=120, check=False)
    verdict = json.loads(found.stdout)
    assert (verdict["identical"], verdict["warnings"]) == (True, [IGNORED])
    clone = service.act(job_id, "clone")
    assert "mixup" not in clone["config"]
    assert clone["config"]["good_geometry_gdop"] == 5.0
    assert clone["warnings"] == [IGNORED]
    assert service.wait_ended(clone["id"])["status"] == "completed"


def test_a_choice_that_was_removed_fails_by_its_name(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=500))
    shared_service.act(job_id, "cancel")
    shared_service.wait_ended(job_id)
    change_row(shared_service.database, job_id, {"lr_scheduler": "exponential"})
    shared_service.act(job_id, "retry")
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["reason"]) == ("failed", "invalid_config")
    assert "'exponential' for the config field lr_scheduler" in job["error_message"]
    refused = shared_service.api.post(f"/jobs/{job_id}/clone")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    clone = shared_service.act(job_id, "clone", {"config": {"lr_scheduler": "step", "epochs": 1}})
    assert shared_service.wait_ended(clone["id"])["status"] == "completed"


def make_older(service: RunningService, job_id: str, fields: Mapping[str, Any]) -> None:
    """Row and checkpoints as a release with other fields would have left them."""
    change_row(service.database, job_id, fields)
    with closing(sqlite3.connect(service.database)) as database, database:
        for (key,) in database.execute("SELECT key FROM artifacts WHERE job_id = ? AND key LIKE '%.pth'", [job_id]):
            path = service.data_dir / "artifacts" / key
            content = load(path)
            content["config"] = changed(content["config"], fields)
            torch.save(content, path)
            data = path.read_bytes()
            for table in ("artifacts", "checkpoints"):
                statement = f"UPDATE {table} SET sha256 = ?, size_bytes = ? WHERE key = ?"  # noqa: S608
                database.execute(statement, [hashlib.sha256(data).hexdigest(), len(data), key])


def change_row(path: Path, job_id: str, fields: Mapping[str, Any]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        (text,) = database.execute("SELECT config FROM training_jobs WHERE id = ?", [job_id]).fetchone()
        config = json.dumps(changed(json.loads(text), fields))
        database.execute("UPDATE training_jobs SET config = ? WHERE id = ?", [config, job_id])


def changed(config: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """None takes a field out."""
    return {name: value for name, value in {**config, **fields}.items() if value is not None or name not in fields}
