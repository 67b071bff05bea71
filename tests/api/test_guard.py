"""Host, Origin, content type, body size, unknown routes: refused before anything happens."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from heimdall.api.services import Readiness
from tests.api.client import Api, problem_of
from tests.api.installation import DEFAULT_OPTIONS, Installation, open_installation


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8001", "127.0.0.1:1", "[::1]", "[::1]:8001", "LOCALHOST", "trainer.example:443"]
)
def test_known_hosts(api: Api, host: str) -> None:
    assert api.get("/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::2]", "a:b:c", "[", "localhost:x"],
)
def test_unknown_hosts(api: Api, host: str) -> None:
    assert problem_of(api.get("/jobs", headers={"Host": host}), 421)["code"] == "unknown_host"
    assert problem_of(api.client.get("/version", headers={"Host": host}), 421)["code"] == "unknown_host"


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["evil.example", "10.1.2.3:8001", "", "["])
def test_probes_answer_under_any_host(api: Api, path: str, host: str) -> None:
    assert api.client.get(path, headers={"Host": host}).status_code == 200
    assert api.client.head(path, headers={"Host": host}).status_code == 200


def test_the_refusal_of_a_host_says_what_to_set(api: Api) -> None:
    detail = problem_of(api.get("/jobs", headers={"Host": "lab.example:8001"}), 421)["detail"]
    assert "add the name, without port, to HEIMDALL_ALLOWED_HOSTS, with commas between several" in detail


@pytest.mark.parametrize(
    "origin", ["http://localhost:8001", "http://LOCALHOST:8001", "https://lab.example", "https://LAB.example/"]
)
def test_known_origins(api: Api, origin: str) -> None:
    assert api.get("/jobs", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://localhost", "https://localhost:8001", "http://localhost:8002", "x"],
)
def test_unknown_origins(api: Api, origin: str) -> None:
    answer = api.post("/jobs", {"epochs": 2}, headers={"Origin": origin})
    assert problem_of(answer, 403)["code"] == "unknown_origin"


def test_an_allowed_page_may_read_the_answers(api: Api) -> None:
    headers = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    preflight = api.client.options("/api/v1/training/jobs", headers=headers)
    assert preflight.headers["access-control-allow-origin"] == "https://lab.example"
    answer = api.get("/jobs", headers={"Origin": "https://lab.example"})
    assert answer.headers["access-control-allow-origin"] == "https://lab.example"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_only_json(api: Api, content_type: str) -> None:
    answer = api.client.post("/api/v1/training/jobs", content=b'{"epochs": 2}', headers={"Content-Type": content_type})
    problem_of(answer, 415)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_by_its_names(api: Api, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert api.client.post("/api/v1/training/jobs", content=b'{"epochs": 2}', headers=headers).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/training/", 404),
        ("PUT", "/api/v1/training/jobs", 405),
        ("DELETE", "/api/v1/training/jobs", 405),
        ("POST", "/health", 405),
        ("GET", "/api/v1/training/jobs%00", 400),
        ("GET", "/api/v1/training/jobs?q=%00", 400),
    ],
)
def test_unknown_routes_and_methods(api: Api, method: str, path: str, status: int) -> None:
    answer = api.client.request(method, path)
    problem_of(answer, status)
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize("trusted_proxies", ["", "127.0.0.1", "*"])
def test_no_forwarded_header_makes_a_foreign_host_known(template: Any, tmp_path: Any, trusted_proxies: str) -> None:
    """A page whose name was rebound to this machine can send them: to the browser they are headers like others."""
    options = replace(DEFAULT_OPTIONS, trusted_proxies=trusted_proxies)
    with (
        open_installation(template, tmp_path, options=options) as installation,
        TestClient(installation.app, base_url="http://localhost", client=("127.0.0.1", 5)) as client,
    ):
        headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
        problem_of(client.get("/api/v1/training/jobs", headers=headers), 421)
        headers = {"Host": "localhost", "X-Forwarded-Host": "evil.example"}
        expected = 421 if trusted_proxies else 200
        assert client.get("/api/v1/training/jobs", headers=headers).status_code == expected


def test_nobodys_forwarded_headers_count_by_default(template: Any, tmp_path: Any) -> None:
    with (
        open_installation(template, tmp_path) as installation,
        TestClient(installation.app, base_url="http://localhost", client=("127.0.0.1", 5)) as client,
    ):
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "trainer.example"}
        job = client.post("/api/v1/training/jobs", json={"epochs": 2}, headers=headers).json()
        assert job["websocket_url"].startswith("ws://localhost/")


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "trainer.example"])
def test_a_trusted_proxy_names_scheme_and_host(template: Any, tmp_path: Any, host: str) -> None:
    """Whether it passes on the Host that it was asked with, or sends the address that it asks."""
    options = replace(DEFAULT_OPTIONS, trusted_proxies="127.0.0.1")
    with (
        open_installation(template, tmp_path, options=options) as installation,
        TestClient(installation.app, base_url="http://localhost", client=("127.0.0.1", 5)) as trusted,
        TestClient(installation.app, base_url="http://localhost", client=("10.1.2.3", 5)) as stranger,
    ):
        headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "trainer.example"}
        job = trusted.post("/api/v1/training/jobs", json={"epochs": 2}, headers=headers).json()
        assert job["websocket_url"] == f"wss://trainer.example/ws/training/{job['id']}"
        headers["X-Forwarded-Port"] = "8443"
        page = trusted.get("/api/v1/training/jobs", headers=headers).json()
        assert page["jobs"][0]["websocket_url"].startswith("wss://trainer.example:8443/")
        page = stranger.get("/api/v1/training/jobs", headers=headers).json()
        assert page["jobs"][0]["websocket_url"].startswith(f"ws://{host}/")
        origin = {"Origin": "https://trainer.example:8443"}
        assert trusted.get("/health", headers={**headers, **origin}).status_code == 200
        assert stranger.get("/health", headers={**headers, **origin}).status_code == 403


def test_only_the_proxys_own_entry_counts(template: Any, tmp_path: Any) -> None:
    """A client's header may stand beside the proxy's, in one line or in a line of its own."""
    options = replace(DEFAULT_OPTIONS, trusted_proxies="127.0.0.1")
    with (
        open_installation(template, tmp_path, options=options) as installation,
        TestClient(installation.app, base_url="http://localhost", client=("127.0.0.1", 5)) as client,
    ):
        name = "X-Forwarded-Host"
        for entries in ([(name, "evil.example, trainer.example")], [(name, "evil.example"), (name, "trainer.example")]):
            job = client.post("/api/v1/training/jobs", json={"epochs": 2}, headers=entries).json()
            assert job["websocket_url"].startswith("ws://trainer.example/")


def test_a_mistake_of_ours_shows_nothing(installation: Installation, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("/secret/path")

    monkeypatch.setattr(installation.jobs, "workers", fail)
    answer = api.get("/workers")
    problem_of(answer, 500)
    assert "secret" not in answer.text


def test_readiness(template: Any, tmp_path: Any) -> None:
    for number, (readiness, status) in enumerate(
        [(Readiness(), "ready"), (Readiness(degraded=["broker"]), "degraded"), (Readiness(down=["database"]), None)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        with (
            open_installation(template, folder, readiness=readiness) as installation,
            TestClient(installation.app, base_url="http://localhost") as client,
        ):
            answer = client.get("/readyz")
            if status is None:
                assert "database" in problem_of(answer, 503)["detail"]
                assert answer.headers["retry-after"] == "1"
            else:
                assert answer.json() == {"status": status, "down": readiness.degraded}
