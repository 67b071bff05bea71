"""Every answer that is no success becomes an exception with the server's sentence."""

import socket

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
from tests.client.scripted import ScriptedServer


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
