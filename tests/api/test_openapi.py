"""The OpenAPI document is true: requests made from it meet no 5xx and no status it does not name."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.client import Api
from tests.api.installation import Installation
from tests.api.live_server import serve


def test_the_older_spelling_is_left_out(api: Api) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    assert "/api/v1/training/jobs" in paths
    assert not [path for path in paths if path.startswith("/v1")]


def test_every_error_is_a_problem(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and status != "416":
                    assert "application/problem+json" in answer["content"], (path, method, status)


def test_every_reference_resolves(api: Api) -> None:
    text = api.client.get("/openapi.json").text
    document = json.loads(text)
    schemas = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert used <= schemas
    assert "HTTPValidationError" not in schemas


def test_operation_ids_are_unique(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
