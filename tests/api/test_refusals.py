"""No words of the validating library reach a client, whichever field is wrong and however."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ErrorType

from heimdall.bootstrap.configuration import load
from heimdall.domain.errors import InvalidInputError
from heimdall.sdk.field_error import reason, sentence
from heimdall.settings import Settings
from tests.api.client import Api, problem_of

LIBRARY = re.compile(
    r"Input should|Value error|Assertion failed|Extra inputs|Field required|should have|should be|type=|pydantic"
    r"|unable to parse|valid (integer|string|boolean|number|list|dictionary)",
    re.IGNORECASE,
)
WRONG: list[Any] = [
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x" * 20_000,
    "1",
    [],
    [None],
    [1],
    ["x"] * 200,
    {},
    {"nonsense": 1},
]
NOBODY = "00000000-0000-4000-8000-000000000000"


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def bodies(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[Any]:
    """Bodies that are wrong as a whole, and in each of their fields."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = resolved(document, content["schema"])
    choices = [resolved(document, choice) for choice in schema.get("anyOf", [schema])]
    yield from ([], "text", 1, {}, {"nonsense": 1})
    for name in {name for choice in choices for name in choice.get("properties", {})}:
        for value in WRONG:
            yield {name: value}
            yield {name: value, "nonsense": 1}


def test_every_refusal_of_every_route_is_in_plain_words(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    refused = 0
    for path, operations in document["paths"].items():
        url = re.sub(r"\{.*?\}", NOBODY, path)
        for method, operation in operations.items():
            if method == "get" and "stream" in path:
                continue  # it would not end
            names = [entry["name"] for entry in operation.get("parameters", []) if entry["in"] == "query"]
            requests: list[dict[str, Any]] = [{"params": {name: value}} for name in names for value in ("-7.5x", "")]
            requests += [{"json": body} for body in bodies(document, operation)]
            requests += (
                [{"content": content} for content in (b"{", b"", b'{"a": NaN}', b"\xff")]
                if "requestBody" in operation
                else []
            )
            for request in requests:
                answer = api.client.request(method, url, **request)
                assert answer.status_code < 500, (method, path, request)
                if answer.status_code == 422:
                    refused += 1
                    assert not LIBRARY.search(answer.text), (method, path, answer.text)
    assert refused > 300


@pytest.mark.parametrize("kind", ["localization", "synthetic"])
def test_every_field_of_a_config_is_refused_in_plain_words(api: Api, kind: str) -> None:
    trainers = {trainer["kind"]: trainer for trainer in api.get("/trainers").json()}
    refused = 0
    for name in trainers[kind]["config_schema"]["properties"]:
        for value in WRONG:
            answer = api.post("/jobs", {"kind": kind, "config": {name: value}})
            if answer.status_code != 201:
                refused += 1
                assert not LIBRARY.search(problem_of(answer, 422)["detail"] + answer.text), answer.text
    assert refused > 50


def test_sentences(api: Api) -> None:
    status = problem_of(api.get("/jobs?status=finished"), 422)
    expected = "'pending', 'queued', 'running', 'paused', 'completed', 'failed' or 'cancelled'"
    assert status["detail"] == f"status: must be one of {expected}."
    assert status["errors"][0]["loc"] == ["query", "status", 0]
    name = problem_of(api.post("/jobs", {"config": {"epochs": 1}, "job_name": "x" * 256}), 422)
    assert name["detail"] == "job_name: must have at most 255 characters."
    both = problem_of(api.post("/jobs", {"config": {"epochs": 0, "batch_size": 513, "epoch": 3}}), 422)
    assert both["detail"] == (
        "The config of kind 'localization' is not valid: config.batch_size: must be at most 512; "
        "config.epochs: must be at least 1; config.epoch: is not a known field; did you mean 'epochs'?"
    )
    words = problem_of(api.post("/jobs", {"config": {"hop_length": 4096}}), 422)
    assert words["detail"].endswith("config.hop_length: must be at most n_fft (2048).")
    assert problem_of(api.client.post("/api/v1/training/jobs"), 422)["detail"] == "The request needs a body in JSON."


def test_every_error_that_the_library_knows_has_words() -> None:
    names = ["expected", "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "error"]
    context = dict.fromkeys([*names, "expected_schemes"], 1)
    for kind in get_args(ErrorType):
        begun = "Assertion failed" if kind == "assertion_error" else "Value error"
        text = reason({"type": kind, "msg": f"{begun}, the author's words", "ctx": context})
        assert text
        assert not LIBRARY.search(text), text


def test_an_author_keeps_the_words_of_an_error_of_their_own() -> None:
    error = PydanticCustomError("odd_number", "must be even")
    assert reason({"type": error.type, "msg": error.message()}) == "must be even"


def test_a_long_list_of_errors_is_cut() -> None:
    entries = [{"loc": [f"field_{number}"], "msg": "is required"} for number in range(9)]
    assert sentence(entries).endswith("field_4: is required; and 4 more.")
    assert sentence(entries[:1]) == "field_0: is required."
    assert reason({"type": "string_too_short", "ctx": {"min_length": 1}}) == "must have at least 1 character"


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", ["-1", "1.5", "x y", "[", '["', "99999999999999999999999"])
def test_a_setting_is_refused_in_plain_words(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HEIMDALL_{name.upper()}", value)
    try:
        load({})
    except InvalidInputError as error:
        told = str(error)
        assert told.startswith((f"HEIMDALL_{name.upper()} ", "The settings "))
        assert not LIBRARY.search(told), told


def test_a_port_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_PORT", "http")
    with pytest.raises(InvalidInputError) as refused:
        load({})
    assert str(refused.value) == "HEIMDALL_PORT cannot be used: it must be a whole number."
