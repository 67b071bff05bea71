"""The contract's own lines, typed by a stranger."""

import json
import subprocess

import pytest

from tests.e2e.service import RunningService

pytestmark = pytest.mark.team

CREATE = (
    "curl -sS -X POST http://localhost:8001/api/v1/training/jobs -H 'Content-Type: application/json' "
    """-d '{"job_name": "Test Training", "config": {"epochs": 10, "batch_size": 16}}'"""
)


def typed(service: RunningService, line: str) -> dict[str, object]:
    """Run a curl line of the contract against this service's port."""
    line = line.replace("localhost:8001", f"localhost:{service.port}")
    return json.loads(subprocess.run(["bash", "-c", line], check=True, capture_output=True).stdout)


def test_the_plain_job_runs_to_its_end_with_no_dataset_gpu_or_network(shared_service: RunningService) -> None:
    created = typed(shared_service, CREATE)
    assert created["status"] == "queued"
    assert created["celery_task_id"]
    job_id = str(created["id"])
    job = shared_service.wait_ended(job_id, seconds=240)
    assert (job["status"], job["reason"]) in {("completed", "finished"), ("completed", "early_stopped")}
    assert job["progress_percent"] == 100
    assert job["dataset_size"]
    assert job["train_samples"] + job["val_samples"] == job["dataset_size"]

    rows = shared_service.api.get(f"/jobs/{job_id}/metrics").json()
    assert [row["epoch"] for row in rows] == list(range(1, job["current_epoch"] + 1))
    assert rows[-1]["val_rmse"] < rows[0]["val_rmse"]

    names = {entry["name"] for entry in shared_service.api.get(f"/jobs/{job_id}/artifacts").json()["artifacts"]}
    expected = {"best_model.pth", "last.pth"}
    assert {f"checkpoints/{name}" for name in expected} <= names
    assert {"predictions.parquet", "config.yaml", "metrics.json", "log.txt", "metadata.json"} <= names

    events = shared_service.events(job_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "training:created"
    assert events[-1]["event"] == "training:completed"


def test_a_dataset_is_generated_and_trained_on(shared_service: RunningService) -> None:
    body = {"name": "small", "num_samples": 400, "use_random_receivers": False, "seed": 7}
    accepted = shared_service.api.post("/synthetic/generate", json=body)
    assert accepted.status_code == 202
    generation = shared_service.wait_ended(accepted.json()["job_id"])
    assert generation["status"] == "completed"
    dataset_id = accepted.json()["dataset_id"]
    job_id = shared_service.submit({"dataset_id": dataset_id, "epochs": 2, "num_workers": 0, "validation_split": 0.5})
    job = shared_service.wait_ended(job_id)
    assert job["status"] == "completed"
    assert job["dataset_id"] == dataset_id
    assert abs(job["train_samples"] - job["val_samples"]) <= 1
