"""Metrics, series, logs and events of a job."""

import csv
import io
from importlib import import_module
from typing import Any

import pytest

from tests.api.client import Api, problem_of
from tests.api.installation import Installation
from tests.api.worker import Run


@pytest.fixture(scope="module")
def recorded(api: Api, installation: Installation) -> Run:
    """A job of three epochs with points and log lines."""
    run = installation.worker.claim_job(api.submit())
    run.start()
    run.log("hello", "world")
    run.log("trouble", level="ERROR")
    run.points("train/loss", {step: 100.0 - step for step in range(100)})
    run.points("system/cpu_percent", {1: 50.0, 2: None})
    for _ in range(3):
        run.finish_epoch(val_rmse=3.0)
    run.finish()
    return run


def get(api: Api, run: Run, path: str, **params: Any) -> Any:
    return api.get(f"/jobs/{run.job.id}{path}", params=params)


def test_epoch_rows_are_flat_and_oldest_first(api: Api, recorded: Run) -> None:
    answer = get(api, recorded, "/metrics")
    assert answer.headers["X-Total-Count"] == "3"
    rows = answer.json()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert {"train_loss", "val_loss", "val_rmse", "attempt", "duration_seconds", "gradient_norm"} <= set(rows[0])
    assert rows[0]["timestamp"].endswith("Z")
    assert [row["epoch"] for row in get(api, recorded, "/metrics", limit=2).json()] == [2, 3]
    assert [row["epoch"] for row in get(api, recorded, "/metrics", after_epoch=2).json()] == [3]
    assert [row["attempt"] for row in get(api, recorded, "/metrics", attempt=1).json()] == [1, 1, 1]
    assert get(api, recorded, "/metrics", attempt=2).json() == []


def test_metrics_as_csv(api: Api, recorded: Run) -> None:
    answer = get(api, recorded, "/metrics", format="csv", limit=1)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[2]["val_rmse"] == "3.0"
    assert rows[0]["timestamp"].endswith("Z")


def read_parquet(content: bytes) -> dict[str, list[Any]]:
    parquet: Any = import_module("pyarrow.parquet")  # has no types
    return parquet.read_table(io.BytesIO(content)).to_pydict()


def test_metrics_as_parquet(api: Api, recorded: Run) -> None:
    answer = get(api, recorded, "/metrics", format="parquet")
    table = read_parquet(answer.content)
    assert table["epoch"] == [1, 2, 3]
    assert table["val_rmse"] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_job_without_epochs_is_an_empty_table(api: Api, run: Run, file_format: str) -> None:
    answer = get(api, run, "/metrics", format=file_format)
    assert answer.status_code == 200
    if file_format == "csv":
        assert answer.text == "epoch,attempt\r\n"
    else:
        assert read_parquet(answer.content) == {"epoch": [], "attempt": []}


def test_series(api: Api, recorded: Run) -> None:
    by_name = {series["name"]: series for series in get(api, recorded, "/series").json()}
    assert by_name["train/loss"] == {"name": "train/loss", "points": 100, "last": 1.0, "min": 1.0, "max": 100.0}
    buckets = get(api, recorded, "/series/train/loss", max_points=10).json()
    assert buckets["width"] == 16
    assert len(buckets["buckets"]) <= 10
    assert set(buckets["buckets"][0]) == {
        "step",
        "last_step",
        "time",
        "first",
        "last",
        "min",
        "max",
        "count",
        "non_finite",
    }
    assert sum(bucket["count"] for bucket in buckets["buckets"]) == 100
    part = get(api, recorded, "/series/train/loss", start=10, end=19).json()
    assert part["width"] == 1
    assert [bucket["step"] for bucket in part["buckets"]] == list(range(10, 20))
    assert get(api, recorded, "/series/system/cpu_percent").json()["buckets"][1]["non_finite"] == 1


def test_an_unknown_series_and_a_range_backwards(api: Api, recorded: Run) -> None:
    problem_of(get(api, recorded, "/series/none"), 404)
    problem = problem_of(get(api, recorded, "/series/train/loss", start=5, end=4), 422)
    assert problem["errors"][0]["loc"] == ["query", "start"]
    problem_of(get(api, recorded, "/series/train/loss", max_points=0), 422)
    problem_of(get(api, recorded, "/series/train/loss", start=10**30), 422)


def test_logs(api: Api, recorded: Run) -> None:
    page = get(api, recorded, "/logs").json()
    assert [(line["line"], line["message"]) for line in page["lines"]] == [(1, "hello"), (2, "world"), (3, "trouble")]
    assert page["next"] == 3
    rest = get(api, recorded, "/logs", after=1, limit=1).json()
    assert [line["line"] for line in rest["lines"]] == [2]
    assert rest["next"] == 2
    assert [line["line"] for line in get(api, recorded, "/logs", level="error").json()["lines"]] == [3]
    problem_of(get(api, recorded, "/logs", level="shouting"), 422)


def test_logs_as_text(api: Api, recorded: Run) -> None:
    answer = get(api, recorded, "/logs", format="text")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert [line.split(" ", maxsplit=1)[1] for line in lines] == ["INFO hello", "INFO world", "ERROR trouble"]
    problem_of(get(api, recorded, "/logs", format="text", level="shouting"), 422)


def test_events(api: Api, recorded: Run) -> None:
    page = get(api, recorded, "/events").json()
    assert [event["seq"] for event in page["events"]] == list(range(1, len(page["events"]) + 1))
    assert page["next"] == len(page["events"]) == api.get(f"/jobs/{recorded.job.id}").json()["job"]["event_seq"]
    assert page["events"][0]["event"] == "training:created"
    assert page["events"][-1]["event"] == "training:completed"
    for event in page["events"]:
        assert set(event) == {"seq", "event", "job_id", "attempt", "timestamp", "data"}
        assert event["data"]["job_id"] == event["job_id"] == recorded.job.id
        assert event["timestamp"].endswith("Z")
    part = get(api, recorded, "/events", after=2, limit=2).json()
    assert [event["seq"] for event in part["events"]] == [3, 4]
    assert part["next"] == 4
    assert get(api, recorded, "/events", after=page["next"]).json() == {"events": [], "next": page["next"]}


@pytest.mark.parametrize(
    "types", ["training:progress,training:checkpoint", ["training:progress", "training:checkpoint"]]
)
def test_events_of_some_types(api: Api, recorded: Run, types: str | list[str]) -> None:
    events = get(api, recorded, "/events", types=types).json()["events"]
    assert {event["event"] for event in events} == {"training:progress", "training:checkpoint"}
    assert len(events) == 6


@pytest.mark.parametrize("params", [{"types": "training:juggling"}, {"limit": 0}, {"limit": 10_001}, {"after": -1}])
def test_bad_event_queries(api: Api, recorded: Run, params: dict[str, Any]) -> None:
    problem_of(get(api, recorded, "/events", **params), 422)


def test_checkpoints_and_certificate(api: Api, recorded: Run) -> None:
    (best,) = get(api, recorded, "/checkpoints").json()
    assert (best["name"], best["kind"], best["epoch"], best["is_best"]) == (
        "checkpoints/best_model.pth",
        "best",
        3,
        True,
    )
    assert best["size_bytes"] == len("weights of epoch 3")
    certificate = get(api, recorded, "/certificate").json()
    chain = certificate["checkpoints"]
    assert [link["epoch"] for link in chain] == [1, 2, 3]
    assert chain[0]["follows_sha256"] is None
    assert [link["follows_sha256"] for link in chain[1:]] == [link["sha256"] for link in chain[:-1]]
    assert chain[-1]["sha256"] == best["sha256"]
    assert (certificate["comparable_until_epoch"], certificate["machine_changes"]) == (3, [])


def test_trainers_and_workers(api: Api, installation: Installation) -> None:
    trainers = {trainer["kind"]: trainer for trainer in api.get("/trainers").json()}
    epochs = trainers["localization"]["config_schema"]["properties"]["epochs"]
    assert (epochs["default"], epochs["minimum"], epochs["maximum"]) == (100, 1, 1000)
    assert epochs["description"]
    installation.worker.announce()
    run = installation.worker.claim_job(api.submit())
    (worker,) = api.get("/workers").json()
    assert worker["name"] == "bench"
    assert run.job.id in worker["running_jobs"]
    assert worker["last_heard_at"].endswith("Z")
