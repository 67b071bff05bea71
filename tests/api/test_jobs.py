"""List, look at, change and delete jobs."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import Api, problem_of
from tests.api.installation import Installation
from tests.api.worker import Run

JOB_FIELDS = {
    "id",
    "job_name",
    "kind",
    "status",
    "requested",
    "phase",
    "reason",
    "priority",
    "tags",
    "notes",
    "parent_job_id",
    "created_at",
    "started_at",
    "completed_at",
    "updated_at",
    "config",
    "current_epoch",
    "total_epochs",
    "progress_percent",
    "eta_seconds",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "learning_rate",
    "metrics",
    "best_epoch",
    "best_val_loss",
    "checkpoint_path",
    "pause_checkpoint_path",
    "onnx_model_path",
    "mlflow_run_id",
    "error_message",
    "warnings",
    "dataset_id",
    "dataset_size",
    "train_samples",
    "val_samples",
    "model_architecture",
    "celery_task_id",
    "worker",
    "attempt",
    "restarts",
    "max_restarts",
    "heartbeat_at",
    "event_seq",
    "websocket_url",
}
UNKNOWN_IDS = [
    "c8ea9bc9-cd3b-4a16-ab2a-a6247cede7e1",
    "nonsense",
    "0",
    "x" * 5000,
    "00000000-0000-0000-0000-00000000000g",
    "%20",
    "é",
]


def all_pages(api: Api, **params: Any) -> Iterator[dict[str, Any]]:
    page = api.get("/jobs", params=params).json()
    while True:
        yield from page["jobs"]
        if page["next_cursor"] is None:
            return
        page = api.get("/jobs", params={**params, "cursor": page["next_cursor"]}).json()


def test_the_job_object_has_every_field(api: Api) -> None:
    details = api.get(f"/jobs/{api.submit()}").json()
    assert set(details) == {"job", "recent_metrics", "websocket_url"}
    assert set(details["job"]) == JOB_FIELDS | {"non_finite"}
    assert details["job"]["metrics"] == {}
    assert details["recent_metrics"] == []


def test_recent_metrics_are_the_newest_ten_newest_first(api: Api, installation: Installation) -> None:
    run = installation.worker.claim_job(api.submit(config={"epochs": 12}))
    for _ in range(12):
        run.finish_epoch()
    details = api.get(f"/jobs/{run.job.id}").json()
    assert [row["epoch"] for row in details["recent_metrics"]] == list(range(12, 2, -1))
    assert details["job"]["current_epoch"] == 12
    assert details["job"]["metrics"]["val_loss"] == 0.5


def test_numbers_that_are_not_finite_are_null(api: Api, run: Run) -> None:
    run.finish_epoch(train_rmse=float("nan"), grad=float("inf"))
    text = api.get(f"/jobs/{run.job.id}").text
    assert "NaN" not in text.replace('"NaN"', "")
    assert "Infinity" not in text.replace('"Infinity"', "")
    job = json.loads(text)["job"]
    assert job["metrics"]["train_rmse"] is None
    row = api.get(f"/jobs/{run.job.id}/metrics").json()[0]
    assert row["train_rmse"] is None
    assert row["non_finite"] == {"train_rmse": "NaN", "grad": "Infinity"}


def test_times_are_utc_with_a_z(api: Api, run: Run) -> None:
    job = api.get(f"/jobs/{run.job.id}").json()["job"]
    for name in ("created_at", "started_at", "updated_at", "heartbeat_at"):
        assert job[name].endswith("Z"), name


def test_the_websocket_url_follows_the_request(api: Api) -> None:
    job_id = api.submit()
    url = api.get(f"/jobs/{job_id}", headers={"Host": "trainer.example:99"}).json()["websocket_url"]
    assert url == f"ws://trainer.example:99/ws/training/{job_id}"


def test_the_list_filters_and_pages(api: Api) -> None:
    tag = str(uuid4())
    ids = [api.submit(tags=[tag], priority=n, job_name=f"{tag} {n}") for n in range(7)]
    assert [job["id"] for job in all_pages(api, tag=tag, limit=2)] == ids[::-1]
    assert [job["id"] for job in all_pages(api, tag=tag, limit=3, sort="priority")] == ids
    assert [job["id"] for job in api.get("/jobs", params={"q": tag, "sort": "job_name"}).json()["jobs"]] == ids
    page = api.get("/jobs", params={"tag": tag, "limit": 2, "offset": 5}).json()
    assert page["total"] == 7
    assert [job["id"] for job in page["jobs"]] == [ids[1], ids[0]]
    assert page["next_cursor"] is None
    assert api.get("/jobs", params={"tag": tag, "kind": "synthetic"}).json()["total"] == 0


def test_the_status_filter_may_repeat(api: Api) -> None:
    tag = str(uuid4())
    queued, cancelled = api.submit(tags=[tag]), api.submit(tags=[tag])
    api.post(f"/jobs/{cancelled}/cancel")
    both = api.get("/jobs", params={"tag": tag, "status": ["queued", "cancelled"]}).json()
    assert {job["id"] for job in both["jobs"]} == {queued, cancelled}
    assert [job["id"] for job in api.get(f"/jobs?tag={tag}&status=cancelled").json()["jobs"]] == [cancelled]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=-1",
        "limit=x",
        "limit=" + "9" * 50,
        "offset=-1",
        "offset=" + "9" * 50,
        "status=dead",
        "sort=config",
        "cursor=%25",
        "cursor=" + "Ww" * 700,
        "cursor=" + base64.urlsafe_b64encode(b"[" * 1400).decode(),
        "cursor=" + base64.urlsafe_b64encode(b'["-created_at", 1, "x"]').decode(),
    ],
)
def test_bad_queries_are_refused(api: Api, query: str) -> None:
    problem_of(api.get(f"/jobs?{query}"), 422)


@pytest.mark.parametrize(
    ("sort", "text"),
    [
        ("job_name", '["job_name", "\\ud800", "x"]'),
        ("val_loss", '["val_loss", NaN, "\\u0000"]'),
    ],
)
def test_a_forged_cursor_breaks_nothing(api: Api, sort: str, text: str) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    assert api.get("/jobs", params={"sort": sort, "cursor": cursor}).status_code in {200, 422}


@pytest.mark.parametrize("job_id", UNKNOWN_IDS)
def test_an_id_that_cannot_exist_is_not_found(api: Api, job_id: str) -> None:
    problem = problem_of(api.get(f"/jobs/{job_id}"), 404)
    assert problem["code"] in {"job_not_found", "not_found"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/metrics"),
        ("GET", "/series"),
        ("GET", "/series/loss"),
        ("GET", "/logs"),
        ("GET", "/logs?format=text"),
        ("GET", "/events"),
        ("GET", "/events/stream"),
        ("GET", "/checkpoints"),
        ("GET", "/certificate"),
        ("GET", "/artifacts"),
        ("GET", "/artifacts/config.yaml"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/clone"),
    ],
)
def test_an_unknown_job_is_not_found_everywhere(api: Api, method: str, path: str) -> None:
    job_id = str(uuid4())
    options: dict[str, Any] = {"json": {"notes": "x"}} if method == "PATCH" else {}
    answer = api.client.request(method, f"/api/v1/training/jobs/{job_id}{path}", **options)
    assert problem_of(answer, 404)["detail"] == f"Training job {job_id} not found"


def test_changes(api: Api) -> None:
    job_id = api.submit(notes="before", job_name="before")
    changed = api.patch(f"/jobs/{job_id}", {"notes": None, "tags": ["t"], "priority": 5, "job_name": "after"}).json()
    assert [changed[name] for name in ("notes", "tags", "priority", "job_name")] == [None, ["t"], 5, "after"]
    assert api.patch(f"/jobs/{job_id}", {"notes": "only this"}).json()["job_name"] == "after"


@pytest.mark.parametrize(
    "body", [{}, {"status": "completed"}, {"job_name": None}, {"job_name": ""}, {"priority": "1"}, {"tags": None}, []]
)
def test_bad_changes_are_refused(api: Api, body: Any) -> None:
    problem_of(api.patch(f"/jobs/{api.submit()}", body), 422)


def test_the_priority_of_a_running_job_stays(api: Api, run: Run) -> None:
    problem = problem_of(api.patch(f"/jobs/{run.job.id}", {"priority": 1}), 409)
    assert "running" in problem["detail"]
    assert api.patch(f"/jobs/{run.job.id}", {"notes": "fine"}).status_code == 200


def test_delete_takes_everything_along(api: Api, installation: Installation, run: Run) -> None:
    run.finish_epoch()
    run.log("a line")
    run.finish()
    job_id = run.job.id
    assert installation.artifacts.keys(job_id)
    answer = api.delete(f"/jobs/{job_id}")
    assert answer.status_code == 204
    assert answer.content == b""
    problem_of(api.get(f"/jobs/{job_id}"), 404)
    problem_of(api.delete(f"/jobs/{job_id}"), 404)
    installation.sweep.sweep(threading.Event())
    assert installation.artifacts.keys(job_id) == []
    assert installation.stores.history.events(job_id) == []


def test_delete_of_a_running_job_takes_its_lease(api: Api, run: Run) -> None:
    assert api.delete(f"/jobs/{run.job.id}").status_code == 204
    with pytest.raises(Exception, match="no longer holds"):
        run.finish_epoch()
