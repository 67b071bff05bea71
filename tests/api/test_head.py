"""HEAD answers wherever GET does, with the head of the same answer and nothing else."""

import socket

import httpx2
import pytest

from tests.api.client import Api
from tests.api.installation import Installation
from tests.api.sockets import submit
from tests.e2e.service import wait_until

ROOT = "/api/v1/training"
PATHS = ["/health", "/healthz", "/readyz", "/version", "/metrics", "/docs", "/openapi.json", "/api/v1/session"]
OF_A_JOB = [
    "",
    "/metrics",
    "/metrics?format=csv",
    "/series",
    "/logs",
    "/events",
    "/checkpoints",
    "/certificate",
    "/artifacts",
]


def headers_of(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


def test_the_head_of_every_get(installation: Installation, port: int) -> None:
    job_id = submit(installation)
    paths = [*PATHS, *(ROOT + path for path in ("/jobs", "/trainers", "/workers", "/synthetic/datasets"))]
    paths += [f"{ROOT}/jobs/{job_id}{path}" for path in OF_A_JOB]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        for path in paths:
            get, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
            assert get.status_code == 200, path
            if path != "/metrics":  # it changes from one to the next
                assert headers_of(head) == headers_of(get), path


@pytest.mark.parametrize("path", ["/events/stream", "/logs?format=text"])
def test_the_head_of_a_stream_ends_at_once(installation: Installation, port: int, path: str) -> None:
    """Two requests on one connection: the first has ended when the second is answered."""
    job_id = submit(installation)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for method, target in (("HEAD", f"{ROOT}/jobs/{job_id}{path}"), ("GET", "/health")):
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            if method == "HEAD":
                assert answer.endswith(b"\r\n\r\n")
    hub = installation.app.state.hub
    wait_until(lambda: hub.num_streams == 0, seconds=20, what="the stream has ended")


def test_what_is_not_there_has_no_head(installation: Installation, port: int) -> None:
    job_id = submit(installation)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        assert client.head("/nowhere").status_code == 404
        assert client.head(f"{ROOT}/jobs/{job_id}x").status_code == 404
        refused = client.head(f"{ROOT}/jobs/{job_id}/pause")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (f"{ROOT}/jobs", "GET, HEAD, POST"),
        ("/v1/training/jobs", "GET, HEAD, POST"),
        (f"{ROOT}/jobs/x", "DELETE, GET, HEAD, PATCH"),
        (f"{ROOT}/jobs/x/artifacts/y", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/api/v1/login", "POST"),
    ],
)
def test_a_refused_method_learns_all_that_are_possible(api: Api, path: str, allowed: str) -> None:
    answer = api.client.put(path, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["detail"] == f"PUT is not possible at {path}; {allowed} are."
