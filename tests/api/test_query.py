"""A query parameter that no route reads is refused, and so is one value too many."""

from urllib.parse import urlencode

import pytest

from tests.api.client import Api, problem_of


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/jobs?stauts=running", "did you mean 'status'?"),
        ("/jobs?LIMIT=5", "did you mean 'limit'?"),
        ("/jobs?zzz=", "there are cursor, kind, limit, "),
        ("/trainers?kind=x", "there are none"),
        ("/synthetic/datasets?limits=3", "did you mean 'limit'?"),
    ],
)
def test_an_unknown_parameter(api: Api, path: str, meant: str) -> None:
    problem = problem_of(api.get(path), 422)
    name = path.partition("?")[2].partition("=")[0]
    assert problem["detail"].startswith(f"There is no query parameter {name!r} here; {meant}")
    assert problem["errors"][0]["loc"] == ["query", name]


def test_every_wrong_one_is_named(api: Api) -> None:
    problem = problem_of(api.get("/jobs?limt=3&limit=1&limit=2&ofset=0"), 422)
    assert [entry["loc"][1] for entry in problem["errors"]] == ["limt", "limit", "ofset"]
    assert problem["detail"].endswith("(2 more).")


@pytest.mark.parametrize("path", ["/jobs?limit=1&limit=2", "/jobs?q=a&q=a"])
def test_of_two_values_none_is_dropped_silently(api: Api, path: str) -> None:
    assert "is given 2 times" in problem_of(api.get(path), 422)["detail"]


def test_no_route_ignores_a_parameter(api: Api) -> None:
    """Whatever the OpenAPI document names, of the surface and beside it."""
    job_id = api.submit()
    for path, operations in api.client.get("/openapi.json").json()["paths"].items():
        if not path.startswith("/api/"):
            continue
        filled = path.replace("{job_id}", job_id).replace("{dataset_id}", job_id)
        filled = filled.replace("{name}", "loss").replace("{path}", "config.yaml")
        for method in operations:
            body: dict[str, object] | None = {} if method in {"post", "patch"} else None
            answer = api.client.request(method, f"{filled}?nonsense=1", json=body)
            assert answer.status_code == 422, (method, path, answer.text)
            if method != "head":
                assert "'nonsense'" in answer.json()["detail"]


def test_tags_narrow_the_list(api: Api) -> None:
    both, one = api.submit(tags=["tall", "red"]), api.submit(tags=["tall"])
    for wanted, expected in [(["tall"], [one, both]), (["tall", "red"], [both]), (["red", "blue"], [])]:
        page = api.get("/jobs?" + urlencode({"tag": wanted}, doseq=True)).json()
        assert [job["id"] for job in page["jobs"]] == expected
    problem_of(api.get("/jobs?" + urlencode({"tag": ["x"] * 51}, doseq=True)), 422)


def test_a_probe_takes_what_balancers_append(api: Api) -> None:
    assert api.client.get("/healthz?cache=1").status_code == 200
