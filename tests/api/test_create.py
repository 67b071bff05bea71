"""POST /jobs: both forms, what is refused, and Idempotency-Key."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.client import Api, problem_of


def test_the_curl_line_of_the_contract(api: Api) -> None:
    answer = api.post("/jobs", {"job_name": "Test Training", "config": {"epochs": 10, "batch_size": 16}})
    assert answer.status_code == 201
    job = answer.json()
    assert UUID(job["id"]).version == 4
    assert job["job_name"] == "Test Training"
    assert job["kind"] == "localization"
    assert job["status"] == "queued"
    assert job["celery_task_id"]
    assert job["created_at"].endswith("Z")
    assert job["total_epochs"] == 10
    assert job["config"]["batch_size"] == 16
    assert job["config"]["learning_rate"] == 0.001  # defaults are filled in
    assert job["websocket_url"] == f"ws://localhost:8001/ws/training/{job['id']}"


def test_the_flat_form(api: Api) -> None:
    answer = api.post("/jobs", {"epochs": 5, "batch_size": 32, "learning_rate": 0.002, "tags": ["flat"]})
    assert answer.status_code == 201
    job = answer.json()
    assert job["total_epochs"] == 5
    assert job["config"]["learning_rate"] == 0.002
    assert job["tags"] == ["flat"]
    assert job["job_name"]


def test_every_field_beside_config_is_kept(api: Api) -> None:
    fields = {"priority": -3, "tags": ["a", "b"], "notes": "why", "max_restarts": 7, "job_name": "n"}
    created = api.post("/jobs", {"config": {"epochs": 2}, "resources": {"gpus": 0}, **fields}).json()
    job = api.get(f"/jobs/{created['id']}").json()["job"]
    assert {name: job[name] for name in fields} == fields


@pytest.mark.parametrize("path", ["/api/v1/training/jobs", "/v1/training/jobs"])
def test_the_older_spelling_answers_too(api: Api, path: str) -> None:
    assert api.client.post(path, json={"epochs": 2}).status_code == 201


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["config"]),
        ({"job_name": "only a name"}, ["config"]),
        ({"config": {"epochs": 2}, "batch_size": 8}, ["batch_size"]),
        ({"config": {"epochs": 2}, "nonsense": 1}, ["nonsense"]),
        ({"epochs": 2, "nonsense": 1}, ["nonsense"]),
        ({"config": {"nonsense": 1}}, ["config", "nonsense"]),
        ({"config": {"epochs": 0}}, ["config", "epochs"]),
        ({"config": {"epochs": 10**30}}, ["config", "epochs"]),
        ({"config": {"epochs": "3"}}, ["config", "epochs"]),
        ({"epochs": 1001}, ["epochs"]),
        ({"config": {"epochs": 2, "dataset_id": str(uuid4())}}, ["config", "dataset_id"]),
        ({"config": None}, ["config"]),
        ({"config": []}, ["config"]),
        ({"config": {}, "job_name": ""}, ["job_name"]),
        ({"config": {}, "job_name": "x" * 256}, ["job_name"]),
        ({"config": {}, "job_name": 3}, ["job_name"]),
        ({"config": {}, "priority": 1.5}, ["priority"]),
        ({"config": {}, "priority": True}, ["priority"]),
        ({"config": {}, "priority": 10**40}, ["priority"]),
        ({"config": {}, "tags": "abc"}, ["tags"]),
        ({"config": {}, "tags": [1]}, ["tags", 0]),
        ({"config": {}, "max_restarts": -1}, ["max_restarts"]),
        ({"config": {}, "resources": {"gpus": -1}}, ["resources", "gpus"]),
        ({"config": {}, "resources": {"tpus": 1}}, ["resources", "tpus"]),
        ({"config": {"accelerator": "gpu", "devices": 10**20}}, ["config", "devices"]),
        ({"config": {"accelerator": "gpu", "devices": 3_000_000_000}}, ["config", "devices"]),
        ({"config": {"accelerator": "gpu", "devices": 2}, "resources": {"gpus": 1}}, ["resources", "gpus"]),
        ({"config": {"devices": 2}, "resources": {"gpus": 1}}, ["resources", "gpus"]),
        ({"config": {}, "kind": "juggling"}, ["kind"]),
        ([], []),
        ("text", []),
        (None, []),
    ],
)
def test_bad_bodies_name_the_field(api: Api, body: Any, loc: list[str | int]) -> None:
    before = api.get("/jobs").json()["total"]
    problem = problem_of(api.client.post("/api/v1/training/jobs", json=body), 422)
    assert loc in [error["loc"] for error in problem["errors"]]
    assert problem["detail"].endswith(".")
    assert api.get("/jobs").json()["total"] == before


@pytest.mark.parametrize(
    "text",
    [
        '{"config": {"learning_rate": NaN}}',
        '{"config": {"learning_rate": Infinity}}',
        '{"config": {"learning_rate": -Infinity}}',
        '{"config": {"learning_rate": 1e999}}',
        '{"config": {"epochs": ' + "9" * 5000 + "}}",
        '{"config": {}, "notes": "\\ud800"}',
        '{"config": {}, "notes": "a\\u0000b"}',
        '{"config": {}, "\\u0000": 1}',
        '{"config": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"config": ' + '{"a":' * 500 + "1" + "}" * 500 + "}",
        '{"config": {}',
        "",
        "not json",
        '{"config": {}}\ufeff',
    ],
)
def test_what_is_not_json_is_refused(api: Api, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.client.post("/api/v1/training/jobs", content=text.encode(), headers=headers)
    problem_of(answer, 422)


def test_bytes_that_are_not_utf8_are_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"config": {}, "notes": "\xff"}'
    problem_of(api.client.post("/api/v1/training/jobs", content=body, headers=headers), 422)


def test_the_same_key_and_body_answer_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    first = api.client.post("/api/v1/training/jobs", content='{"epochs": 2, "batch_size": 8}', headers=headers)
    again = api.client.post("/api/v1/training/jobs", content='{"batch_size":8,"epochs":2}', headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    other = api.client.post("/api/v1/training/jobs", content='{"epochs": 3}', headers=headers)
    assert problem_of(other, 422)["errors"]


def test_two_requests_with_one_key_at_once_make_one_job(api: Api) -> None:
    before = api.get("/jobs").json()["total"]
    headers = {"Idempotency-Key": str(uuid4())}

    def submit(_: int) -> Any:
        return api.post("/jobs", {"epochs": 2}, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert api.get("/jobs").json()["total"] == before + 1


def test_an_empty_or_endless_key_is_refused(api: Api) -> None:
    for key in ("", "k" * 256):
        problem_of(api.post("/jobs", {"epochs": 2}, headers={"Idempotency-Key": key}), 422)


@pytest.mark.parametrize("path", ["/jobs", "/jobs/{id}/clone"])
def test_a_body_may_begin_with_a_byte_order_mark(api: Api, path: str) -> None:
    headers = {"Content-Type": "application/json"}
    place = f"/api/v1/training{path}".replace("{id}", api.submit())
    for mark, status in [(b"\xef\xbb\xbf", 201), (b"\xef\xbb\xbf\xef\xbb\xbf", 422), (b"\xff\xfe", 422)]:
        answer = api.client.post(
            place, content=mark + b'{"priority": -7}' if path != "/jobs" else mark + b'{"epochs": 2}', headers=headers
        )
        assert answer.status_code == status, answer.text
