"""`heimdall verify` says identical of honest work and names what was changed afterwards."""

import hashlib
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import torch

from heimdall.trainers.checkpoint import load, sha256_of
from tests.e2e.service import HEIMDALL, RunningService
from tests.e2e.small_jobs import small


def verify(service: RunningService, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [HEIMDALL, "verify", *words, "--data-dir", service.data_dir]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_honest_job_is_identical(shared_service: RunningService, dataset_id: str, num_workers: int) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=2, num_workers=num_workers))
    shared_service.wait_ended(job_id)
    events = shared_service.events(job_id)
    found = verify(shared_service, job_id)
    assert (found.returncode, found.stdout, found.stderr) == (0, "epoch 2: identical\n", "")
    assert shared_service.events(job_id) == events


def test_a_changed_weight_is_named(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=2), job_name="forged")
    shared_service.wait_ended(job_id)
    name = forge(shared_service, job_id)
    found = verify(shared_service, "forged", "--json", "--epoch", "1")
    assert (found.returncode, found.stderr) == (1, "")
    verdict = json.loads(found.stdout)
    assert verdict == {"epoch": 2, "difference": f"model_state_dict/{name}", "warnings": [], "identical": False}


def test_a_file_changed_behind_its_checksum_is_no_honest_work(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=2))
    shared_service.wait_ended(job_id)
    path = newest_file(shared_service, job_id)
    content = load(path)
    name, weight = next(iter(content["model_state_dict"].items()))
    weight.view(-1)[0] += 1e-3
    torch.save(content, path)  # pyright: ignore[reportUnknownMemberType]
    found = verify(shared_service, job_id, "--epoch", "1")
    told = f"epoch 2: differs in model_state_dict/{name}: its file was changed after it was saved\n"
    assert (found.returncode, found.stdout) == (1, told)
    path.unlink()
    found = verify(shared_service, job_id, "--epoch", "1")
    assert (found.returncode, found.stdout) == (1, "epoch 2: differs in its file, which is missing or damaged\n")


def newest_file(service: RunningService, job_id: str) -> Path:
    with closing(sqlite3.connect(service.database)) as database:
        statement = "SELECT key FROM checkpoints WHERE job_id = ? ORDER BY epoch DESC LIMIT 1"
        (key,) = database.execute(statement, [job_id]).fetchone()
    return service.data_dir / "artifacts" / key


def test_epochs_that_cannot_be_verified_are_refused(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=1))
    shared_service.wait_ended(job_id)
    found = verify(shared_service, job_id, "--epoch", "1")
    assert found.returncode == 4
    assert "choose one of: 0" in found.stderr
    assert verify(shared_service, "nobody").returncode == 3


def forge(service: RunningService, job_id: str) -> str:
    """Change one weight of the newest checkpoint and every checksum that would tell; the weight's name."""
    with closing(sqlite3.connect(service.database)) as database, database:
        statement = "SELECT key, manifest FROM checkpoints WHERE job_id = ? ORDER BY epoch DESC LIMIT 1"
        key, text = database.execute(statement, [job_id]).fetchone()
        path = service.data_dir / "artifacts" / key
        content = load(path)
        weights = content["model_state_dict"]
        name = list(weights)[len(weights) // 2]
        weights[name].view(-1)[0] += 1e-3
        manifest = json.loads(text)
        manifest["sha256"]["model_state_dict"] = sha256_of(weights)
        torch.save({**content, "manifest": manifest}, path)  # pyright: ignore[reportUnknownMemberType]
        data = path.read_bytes()
        found = [hashlib.sha256(data).hexdigest(), len(data), key]
        database.execute("UPDATE artifacts SET sha256 = ?, size_bytes = ? WHERE key = ?", found)
        row = [*found[:2], json.dumps(manifest), key]
        database.execute("UPDATE checkpoints SET sha256 = ?, size_bytes = ?, manifest = ? WHERE key = ?", row)
    return name
