"""Every answer that is no success becomes an exception with the server's sentence."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from heimdall.client import HeimdallClient, RefusedError, ServerUnreachableError
from heimdall.domain.errors import (
    BadPathError,
    ConflictError,
    HeimdallError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from tests.client.scripted import Request, ScriptedServer


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BadPathError),
        (401, RefusedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, RefusedError),
        (422, InvalidInputError),
        (429, RefusedError),
        (500, RefusedError),
        (503, UnavailableError),
    ],
)
def test_problem_becomes_exception(status: int, expected: type[HeimdallError]) -> None:
    with (
        ScriptedServer(lambda request: request.answer_problem(status, detail="Do this.", code="some_code")) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(HeimdallError, match=r"^Do this\.$") as caught,
    ):
        client.jobs.get("some-id")
    assert type(caught.value) is expected
    assert caught.value.status_code == status
    assert status == 422 or caught.value.code == "some_code"


def test_fields_of_a_refused_input_are_kept() -> None:
    errors = [{"loc": ["config", "epochs"], "msg": "too many"}]
    with (
        ScriptedServer(lambda request: request.answer_problem(422, detail="No.", errors=errors)) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(InvalidInputError) as caught,
    ):
        client.jobs.create({"epochs": 10**9})
    assert caught.value.errors == errors


def test_answer_of_something_else_than_our_server() -> None:
    with (
        ScriptedServer(lambda request: request.answer(502, b"<h1>Bad gateway</h1>", "text/html")) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(RefusedError, match="502"),
    ):
        client.trainers()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<p>Log in.</p>", "text/html; charset=utf-8"), (b"OK", "text/plain"), (b"{", "application/json")],
)
def test_a_success_of_something_else_than_our_server(body: bytes, content_type: str) -> None:
    with (
        ScriptedServer(lambda request: request.answer(200, body, content_type)) as server,
        HeimdallClient(server.url) as client,
    ):
        for call in (client.trainers, lambda: client.jobs.create({}), lambda: client.jobs.update("j", notes="n")):
            with pytest.raises(RefusedError, match=f"^{server.url} is no Heimdall service: ") as caught:
                call()
            assert caught.value.code == "not_heimdall"


def test_a_page_is_neither_a_table_nor_an_event_stream(tmp_path: Path) -> None:
    with (
        ScriptedServer(lambda request: request.answer(200, b"<p>Log in.</p>", "text/html")) as server,
        HeimdallClient(server.url) as client,
    ):
        calls: list[Callable[[], object]] = [
            lambda: client.records.save_metrics("j", tmp_path / "metrics.csv"),
            lambda: client.records.metrics_csv("j"),
            lambda: list(client.records.log_text("j")),
            lambda: list(client.records.follow("j")),
            client.prometheus,
        ]
        for call in calls:
            with pytest.raises(RefusedError, match="is no Heimdall service"):
                call()
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_is_told_without_its_query() -> None:
    def answer(request: Request) -> None:
        request.redirect("https://login.example/enter?ticket=secret")

    with (
        ScriptedServer(answer) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(RefusedError, match=r"a redirect to https://login\.example,") as caught,
    ):
        client.trainers()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"'])
def test_a_problem_that_is_none(body: bytes) -> None:
    with (
        ScriptedServer(lambda request: request.answer(500, body, "application/problem+json")) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(RefusedError, match="500"),
    ):
        client.trainers()


def test_nobody_listens() -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody else can take the port meanwhile
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with HeimdallClient(url) as client, pytest.raises(ServerUnreachableError, match=url):
            client.health()


def test_only_what_is_given_is_sent() -> None:
    with (
        ScriptedServer(lambda request: request.answer_json({"id": "x"}, 201)) as server,
        HeimdallClient(server.url, token="secret") as client,
    ):
        client.jobs.create({"epochs": 1}, kind="localization", tags=["a"], gpus=0, idempotency_key="k")
    (request,) = server.requests
    assert request.body == {
        "kind": "localization",
        "config": {"epochs": 1},
        "tags": ["a"],
        "resources": {"gpus": 0},
    }
    assert request.headers["Idempotency-Key"] == "k"
    assert request.headers["Authorization"] == "Bearer secret"
