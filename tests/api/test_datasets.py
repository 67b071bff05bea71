"""Synthetic data: generate, list, samples, approvals, delete."""

import math
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from heimdall.datasets.format import sample_dtype
from heimdall.datasets.writer import DatasetWriter
from heimdall.domain.attempt import JobLease
from heimdall.domain.dataset import DatasetResult
from heimdall.jobs.request import JobRequest
from tests.api.client import Api, problem_of
from tests.api.installation import Installation


def generate(api: Api, **fields: Any) -> Any:
    return api.post("/synthetic/generate", {"name": str(uuid4()), "num_samples": 10, **fields})


def test_generation_is_a_job(api: Api) -> None:
    answer = generate(api, description="for tests")
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"job_id", "dataset_id", "status", "created_at", "status_url"}
    job = api.client.get(body["status_url"]).json()["job"]
    assert (job["kind"], job["total_epochs"], job["status"]) == ("synthetic", 0, "queued")
    dataset = api.get(f"/synthetic/datasets/{body['dataset_id']}").json()
    assert set(dataset) == {
        "id",
        "name",
        "description",
        "status",
        "num_samples",
        "config",
        "quality",
        "size_bytes",
        "sha256",
        "created_at",
        "job_id",
    }
    assert (dataset["status"], dataset["description"], dataset["job_id"]) == ("generating", "for tests", job["id"])


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 101}, ["name"]),
        ({"num_samples": 0}, ["num_samples"]),
        ({"num_samples": 5_000_001}, ["num_samples"]),
        ({"num_samples": "10"}, ["num_samples"]),
        ({"min_receivers_count": 9, "max_receivers_count": 8}, ["max_receivers_count"]),
        ({"area_lat_min": 46.0, "area_lat_max": 44.0}, ["area_lat_max"]),
        ({"inside_ratio": 1.5}, ["inside_ratio"]),
        ({"nonsense": 1}, ["nonsense"]),
    ],
)
def test_bad_requests_name_the_field(api: Api, fields: dict[str, Any], loc: list[str]) -> None:
    problem = problem_of(generate(api, **fields), 422)
    assert loc in [error["loc"] for error in problem["errors"]]


def test_a_name_is_taken_once(api: Api) -> None:
    name = str(uuid4())
    assert generate(api, name=name).status_code == 202
    problem_of(generate(api, name=name), 409)


def test_the_name_of_the_default_dataset_is_kept(api: Api) -> None:
    assert "default" in problem_of(generate(api, name="default"), 409)["detail"]


def test_the_same_key_makes_one_dataset(api: Api) -> None:
    body, headers = {"name": str(uuid4()), "num_samples": 5}, {"Idempotency-Key": str(uuid4())}
    answers = [api.post("/synthetic/generate", body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["dataset_id"] == answers[1].json()["dataset_id"]


def test_the_list_is_newest_first(api: Api) -> None:
    ids = [generate(api).json()["dataset_id"] for _ in range(3)]
    page = api.get("/synthetic/datasets", params={"limit": 2}).json()
    assert [dataset["id"] for dataset in page["datasets"]] == [ids[2], ids[1]]
    assert page["total"] >= 3
    assert api.get("/synthetic/datasets", params={"limit": 1, "offset": 2}).json()["datasets"][0]["id"] == ids[0]
    problem_of(api.get("/synthetic/datasets", params={"limit": 0}), 422)


@pytest.mark.parametrize("dataset_id", ["b9e9d768-b1a4-47d9-9f7c-87b4e9cce5a8", "nonsense"])
def test_an_unknown_dataset(api: Api, dataset_id: str) -> None:
    path = f"/synthetic/datasets/{dataset_id}"
    assert problem_of(api.get(path), 404)["detail"] == f"Dataset {dataset_id} not found"
    problem_of(api.get(f"{path}/samples"), 404)
    problem_of(api.patch(f"{path}/samples", {"indexes": [], "approved": True}), 404)
    problem_of(api.delete(path), 404)


def test_a_dataset_in_the_making_has_no_samples_and_stays(api: Api) -> None:
    path = f"/synthetic/datasets/{generate(api).json()['dataset_id']}"
    problem_of(api.get(f"{path}/samples"), 409)
    problem_of(api.delete(path), 409)


def make_ready(installation: Installation, dataset_id: str, num_samples: int) -> None:
    """What the generating job does at its end, with samples made by hand."""
    folder = installation.folder / dataset_id
    with DatasetWriter(folder, num_samples=num_samples, max_receivers=3) as writer:
        rows = np.zeros(num_samples, dtype=sample_dtype(3))
        rows["tx_lat"] = np.arange(num_samples)
        rows["num_receivers"] = 3
        rows["detected"] = True
        writer.append(rows)
        written = writer.finish({})
    key = f"datasets/{dataset_id}/v1"
    files: list[dict[str, Any]] = []
    for path in sorted(folder.iterdir()):
        stored = installation.artifacts.put_file(f"{key}/{path.name}", path)
        files.append({"name": path.name, "size_bytes": stored.size_bytes, "sha256": stored.sha256})
    run = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 1})).id)
    holder, datasets = JobLease(run.job.id, run.token), installation.stores.datasets
    assert datasets.take_lease(dataset_id, holder, token=dataset_id, seen=None)
    result = DatasetResult(
        num_samples=num_samples, quality={}, size_bytes=1, sha256=written.sha256, key=key, files=files
    )
    datasets.publish(dataset_id, holder, token=dataset_id, result=result)
    run.finish()


def test_samples_and_approvals(api: Api, installation: Installation) -> None:
    body = generate(api).json()
    make_ready(installation, body["dataset_id"], 5)
    path = f"/synthetic/datasets/{body['dataset_id']}"
    assert api.get(path).json()["status"] == "ready"
    page = api.get(f"{path}/samples", params={"limit": 2, "offset": 3}).json()
    assert {name: page[name] for name in ("total", "limit", "offset")} == {"total": 5, "limit": 2, "offset": 3}
    assert [sample["index"] for sample in page["samples"]] == [3, 4]
    assert math.isclose(page["samples"][0]["tx_lat"], 3.0)
    assert all(sample["approved"] for sample in page["samples"])
    changed = api.patch(f"{path}/samples", {"indexes": [4], "approved": False})
    assert changed.status_code == 200
    page = api.get(f"{path}/samples").json()
    assert [sample["index"] for sample in page["samples"] if not sample["approved"]] == [4]
    assert api.get(f"{path}/samples", params={"offset": 100}).json()["samples"] == []
    for bad in ({"indexes": [5], "approved": False}, {"indexes": [-1], "approved": False}, {"indexes": [1]}, {}):
        problem_of(api.patch(f"{path}/samples", bad), 422)
    problem_of(api.patch(f"{path}/samples", {"indexes": [1], "approved": "no"}), 422)
    user = api.submit(config={"epochs": 2, "dataset_id": body["dataset_id"]})
    problem_of(api.delete(path), 409)
    api.post(f"/jobs/{user}/cancel")
    api.post(f"/jobs/{body['job_id']}/cancel")
    assert api.delete(path).status_code == 204
    problem_of(api.get(path), 404)
