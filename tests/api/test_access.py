"""With tokens on nobody comes in without a valid one, and nobody does more than the role allows."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.testclient import TestClient

from heimdall.api import access
from heimdall.api.live import sockets
from heimdall.api.paths import PROBES
from heimdall.api.services import ApiOptions
from heimdall.domain.access import Role
from tests.api.client import problem_of
from tests.api.installation import DEFAULT_OPTIONS, Installation, open_installation
from tests.api.live_server import serve
from tests.api.sockets import log_of, open_socket, submit

OPEN = {"/health", "/healthz", "/readyz", "/version", "/api/v1/login"}
OWN = {"/api/v1/logout"}
READING = {"get", "head"}
Operation = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A real server with a token of each role."""

    installation: Installation
    port: int
    secrets: dict[Role, str]
    job_id: str
    client: httpx2.Client

    def operations(self) -> list[Operation]:
        """Method and path of everything the OpenAPI document names, in both spellings, and what it does not name."""
        found = [("get", path) for path in ("/docs", "/openapi.json", "/nowhere", "/", "/uix", "/health/x")]
        for path, operations in self.installation.app.openapi()["paths"].items():
            filled = path.replace("{job_id}", self.job_id).replace("{dataset_id}", self.job_id)
            filled = filled.replace("{name}", "loss").replace("{path}", "config.yaml")
            found += [(method, filled) for method in operations]
        return found + [
            (method, path.removeprefix("/api")) for method, path in found if path.startswith("/api/v1/training")
        ]

    def ask(self, operation: Operation, **options: Any) -> tuple[int, str]:
        """Status and content type; the body of a stream is not waited for."""
        method, path = operation
        if method in {"post", "patch", "put"}:
            options.setdefault("json", {})
        with self.client.stream(method.upper(), path, **options) as answer:
            return answer.status_code, answer.headers.get("content-type", "")

    def socket_paths(self) -> list[str]:
        routes: list[BaseRoute] = sockets.router.routes
        return [route.path.replace("{job_id}", self.job_id) for route in routes if isinstance(route, WebSocketRoute)]


def access_options(**changes: Any) -> ApiOptions:
    return replace(DEFAULT_OPTIONS, **changes)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def guarded(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    options = access_options(trusted_proxies="127.0.0.1")
    with open_installation(template, tmp_path_factory.mktemp("guarded"), options=options) as installation:
        job_id = submit(installation)
        secrets = {role: installation.tokens.create(role, role.value)[1] for role in Role}
        with serve(installation.app) as port, httpx2.Client(base_url=f"http://localhost:{port}", timeout=20) as client:
            yield Guarded(installation, port, secrets, job_id, client)


def test_every_route_but_the_open_ones_needs_a_token(guarded: Guarded) -> None:
    closed = [operation for operation in guarded.operations() if operation[1] not in OPEN]
    assert len(closed) > 50
    basic, cookie = {"Authorization": "Basic eDp5"}, {"Cookie": "heimdall_session=x"}
    # Every route without a token; some with a wrong one, which is answered slowly.
    for headers, asked in (({}, closed), (basic, closed), (bearer("hmd_wrong"), closed[::8]), (cookie, closed[::8])):
        answers = {operation: guarded.ask(operation, headers=headers) for operation in asked}
        assert set(answers.values()) == {(401, "application/problem+json")}, answers


def test_the_open_routes_answer_anybody(guarded: Guarded) -> None:
    for path in OPEN - {"/api/v1/login"}:
        assert guarded.ask(("get", path))[0] == 200
    assert guarded.ask(("get", "/ui/"))[0] == 404  # not shut, only not there
    assert guarded.ask(("post", "/api/v1/login"))[0] == 422


def test_the_document_says_which_routes_are_open(guarded: Guarded) -> None:
    document = guarded.installation.app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"token", "session"}
    assert document["security"]
    says_open = {
        path
        for path, operations in document["paths"].items()
        for one in operations.values()
        if one.get("security") == []
    }
    assert says_open == OPEN


def test_a_viewer_reads_everything_and_changes_nothing(guarded: Guarded) -> None:
    before = log_of(guarded.installation, guarded.job_id)
    headers = bearer(guarded.secrets[Role.VIEWER])
    num_refused = 0
    for operation in guarded.operations():
        if operation[1] in OPEN | OWN:
            continue
        status, _ = guarded.ask(operation, headers=headers)
        if operation[0] in READING:
            assert status not in {401, 403}, operation
        else:
            assert status == 403, operation
            num_refused += 1
    assert num_refused > 20
    assert log_of(guarded.installation, guarded.job_id) == before


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_others_may_change_things_and_the_log_names_them(guarded: Guarded, role: Role) -> None:
    client = httpx2.Client(base_url=f"http://localhost:{guarded.port}", headers=bearer(guarded.secrets[role]))
    with client:
        job = client.post("/api/v1/training/jobs", json={"epochs": 2}).json()
        assert client.post(f"/api/v1/training/jobs/{job['id']}/cancel").status_code == 200
        assert client.post(f"/api/v1/training/jobs/{job['id']}/retry").status_code == 200
        run = guarded.installation.worker.claim_job(job["id"])
        assert client.post(f"/api/v1/training/jobs/{job['id']}/pause").status_code == 200
        actors = [
            event["data"]["actor"] for event in log_of(guarded.installation, run.job.id) if event["data"].get("actor")
        ]
        assert actors == [role.value] * 4  # created, cancelled, resumed, asked to pause
        generated = client.post(
            "/api/v1/training/synthetic/generate", json={"name": role.value, "num_samples": 10}
        ).json()
        assert log_of(guarded.installation, generated["job_id"])[0]["data"]["actor"] == role.value


@pytest.mark.parametrize("options", [{}, {"subprotocols": ["bearer.hmd_wrong"]}, {"additional_headers": bearer("x")}])
def test_a_socket_without_a_valid_token_is_accepted_and_closed(guarded: Guarded, options: dict[str, Any]) -> None:
    paths = guarded.socket_paths()
    assert len(paths) == 2
    for path in paths:
        with open_socket(guarded.port, path, **options) as socket:
            assert socket.rest() == []
            assert socket.close_code == 4401


def test_a_socket_takes_a_token_in_three_ways(guarded: Guarded) -> None:
    secret = guarded.secrets[Role.VIEWER]
    ways: list[dict[str, Any]] = [
        {"additional_headers": bearer(secret)},
        {"additional_headers": {"Cookie": f'version=2; plain; theme={{"dark": 1}}; heimdall_session={secret}'}},
        {"subprotocols": ["chat", f"bearer.{secret}"]},
    ]
    for path in guarded.socket_paths():
        for way in ways:
            with open_socket(guarded.port, path, **way) as socket:
                assert socket.receive()["event"] == "connected"
                assert socket.connection.subprotocol == (f"bearer.{secret}" if "subprotocols" in way else None)


def test_a_token_opens_nothing_for_a_foreign_page_or_name(guarded: Guarded) -> None:
    headers = bearer(guarded.secrets[Role.ADMIN])
    for operation in guarded.operations():
        if operation[1] not in PROBES:
            assert guarded.ask(operation, headers={**headers, "Host": "evil.example"})[0] == 421
        assert guarded.ask(operation, headers={**headers, "Origin": "https://evil.example"})[0] == 403
    for path in guarded.socket_paths():
        for forged in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            with (
                pytest.raises(Exception, match=r"HTTP (403|421)"),
                open_socket(guarded.port, path, additional_headers={**headers, **forged}),
            ):
                pass


def test_login_sets_a_cookie_that_scripts_cannot_read(guarded: Guarded) -> None:
    with httpx2.Client(base_url=f"http://localhost:{guarded.port}") as client:
        problem_of(client.post("/api/v1/login", json={"token": "hmd_wrong"}), 401)
        answer = client.post("/api/v1/login", json={"token": guarded.secrets[Role.VIEWER]})
        assert answer.json() == {"name": "viewer", "role": "viewer"}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "secure" not in cookie.lower()
        assert client.get("/api/v1/session").json() == {"name": "viewer", "role": "viewer"}
        assert client.get("/api/v1/training/jobs").status_code == 200
        assert client.post("/api/v1/training/jobs", json={"epochs": 2}).status_code == 403
        assert client.post("/api/v1/logout").status_code == 204
        assert client.get("/api/v1/training/jobs").status_code == 401
        behind_tls = {"X-Forwarded-Proto": "https"}
        answer = client.post("/api/v1/login", json={"token": guarded.secrets[Role.VIEWER]}, headers=behind_tls)
        assert "secure" in answer.headers["set-cookie"].lower()


def test_every_rule_by_path_holds_under_a_root_path(template: Path, tmp_path: Path) -> None:
    """As behind a proxy that takes `/lab` off the path and a server that is told of it."""
    with open_installation(template, tmp_path) as installation:
        secret = installation.tokens.create(Role.VIEWER, "viewer")[1]
        job_id = submit(installation)
        app = installation.app
        with serve(app, root_path="/lab") as port, httpx2.Client(base_url=f"http://localhost:{port}") as client:
            for path in ("/health", "/healthz", "/readyz", "/version"):
                assert client.get(path).status_code == 200, path
            assert client.get("/ui/index.html").status_code == 404  # open, and nothing is there yet
            for path in ("/uix", "/health/x", "/lab/health", "/docs", "/metrics", "/api/v1/training/jobs"):
                assert client.get(path).status_code == 401, path
            assert client.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200
            assert client.post("/api/v1/login", json={"token": "hmd_wrong"}).status_code == 401
            assert client.post("/api/v1/login", json={"token": secret}).status_code == 200
            job = client.get(f"/api/v1/training/jobs/{job_id}").json()["job"]
            assert job["websocket_url"] == f"ws://localhost:{port}/lab/ws/training/{job_id}"
            assert client.post("/api/v1/training/jobs", json={"epochs": 2}).status_code == 403
            assert client.post("/api/v1/logout").status_code == 204
        with serve(app, root_path="/lab") as port, open_socket(port, "/ws") as socket:
            socket.rest()
            assert socket.close_code == 4401


def test_a_revoked_token_opens_nothing_after_a_moment(guarded: Guarded) -> None:
    tokens = guarded.installation.tokens
    _, secret = tokens.create(Role.VIEWER, "leaving")
    run = guarded.installation.worker.claim_job(submit(guarded.installation))
    path = f"/ws/training/{run.job.id}?after=0"
    stream = f"http://localhost:{guarded.port}/api/v1/training/jobs/{run.job.id}/events/stream"
    access_key = bearer(secret)
    with (
        open_socket(guarded.port, path, additional_headers=access_key) as socket,
        httpx2.stream("GET", stream, headers=access_key, timeout=20) as events,
    ):
        assert socket.until("training:phase")
        lines = events.iter_lines()
        while "training:phase" not in next(lines):
            pass
        tokens.revoke("leaving")
        wait_until_refused(guarded, access_key)
        run.start()
        assert socket.rest() == []
        assert socket.close_code == 4401
        assert not [line for line in lines if line.startswith("data:")]


def wait_until_refused(guarded: Guarded, headers: dict[str, str]) -> None:
    """Asks with another token, so that the server looks again, for as long as it may remember."""
    deadline = time.monotonic() + access.REMEMBER_SECONDS + 1
    while guarded.ask(("get", "/api/v1/session"), headers=headers)[0] != 401:
        assert time.monotonic() < deadline


def test_secrets_are_not_logged(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    secret = guarded.secrets[Role.OPERATOR]
    with caplog.at_level(logging.DEBUG, logger="heimdall"), caplog.at_level(logging.INFO, logger="uvicorn"):
        for given in (secret, "hmd_wrong_one"):
            guarded.ask(("get", "/api/v1/training/jobs"), headers=bearer(given))
            guarded.ask(("post", "/api/v1/login"), json={"token": given})
            with open_socket(guarded.port, "/ws", subprotocols=[f"bearer.{given}"]) as socket:
                socket.connection.close()
    assert secret not in caplog.text
    assert "hmd_wrong_one" not in caplog.text


def test_limits(template: Path, tmp_path: Path) -> None:
    options = access_options(requests_per_minute=5, failed_logins_per_minute=3)
    with (
        open_installation(template, tmp_path, options=options, admin_secret="a-secret-of-the-settings") as installation,
        TestClient(installation.app, base_url="http://localhost", client=("192.0.2.7", 5)) as client,
    ):
        wrong = [client.get("/metrics", headers=bearer("x")) for _ in range(3)]
        wrong += [client.post("/api/v1/login", json={"token": "x"})]
        assert [answer.status_code for answer in wrong] == [401, 401, 401, 429]
        assert problem_of(wrong[-1], 429)["code"] == "too_many_requests"
        assert 1 <= int(wrong[-1].headers["retry-after"]) <= 20
        assert client.get("/metrics").status_code == 401  # asking without a token is no guess
        right = [client.get("/api/v1/session", headers=bearer("a-secret-of-the-settings")) for _ in range(6)]
        assert [answer.status_code for answer in right] == [200] * 5 + [429]
        assert right[0].json() == {"name": "bootstrap", "role": "admin"}
        assert 1 <= int(right[-1].headers["retry-after"]) <= 12
        assert client.get("/health").status_code == 200


def test_without_tokens_only_loopback_is_served(template: Path, tmp_path: Path) -> None:
    options = access_options(allowed_hosts=frozenset({"192.0.2.1", "127.0.0.1"}))
    with open_installation(template, tmp_path, options=options) as installation:
        for address, status in (("127.0.0.1", 200), ("192.0.2.1", 401)):
            with TestClient(installation.app, base_url=f"http://{address}") as client:
                assert client.get("/api/v1/training/jobs").status_code == status
                assert client.get("/healthz").status_code == 200
        with TestClient(installation.app, base_url="http://127.0.0.1") as client:
            # A cookie or token that is left from another service on this machine disturbs nobody.
            answer = client.post("/api/v1/training/jobs", json={"epochs": 2}, headers=bearer("old"))
            assert answer.status_code == 201
            assert log_of(installation, answer.json()["id"])[0]["data"]["actor"] is None
            assert client.get("/api/v1/session").json() == {"name": None, "role": None}
