"""Requests as bytes on a socket: what a well-behaved client would tidy up or never send."""

import socket

import pytest

from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation

HEAD = b"POST /api/v1/training/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def raw_exchange(port: int, head: bytes, body: bytes = b"") -> bytes:
    """Send bytes as they are and read until the server closes or has answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head + b"\r\n\r\n" + body)
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
    return received


def test_a_declared_body_of_100_mb_is_not_read(port: int) -> None:
    answer = raw_exchange(port, HEAD + b"Content-Length: 104857600", b'{"epochs":')
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
    assert b"body_too_large" in answer


def test_a_chunked_body_is_cut_off(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = raw_exchange(port, HEAD + b"Transfer-Encoding: chunked", chunk * 20)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer


def test_a_large_body_for_a_route_that_reads_none(port: int) -> None:
    head = b"DELETE /api/v1/training/jobs/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert raw_exchange(port, head + b"Content-Length: 2000000").startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"../../heimdall.db", 400),
        (b"..%2f..%2fheimdall.db", 400),
        (b"%2e%2e/x", 400),
        (b"a/./b", 400),
        (b"/etc/passwd", 400),
        (b"%252e%252e/x", 404),
    ],
)
def test_dots_that_no_client_has_tidied_up(port: int, installation: Installation, name: bytes, status: int) -> None:
    job_id = installation.jobs.create(JobRequest(config={"epochs": 2})).id.encode()
    head = b"GET /api/v1/training/jobs/" + job_id + b"/artifacts/" + name + b" HTTP/1.1\r\nHost: localhost"
    assert raw_exchange(port, head).startswith(b"HTTP/1.1 %d" % status)
