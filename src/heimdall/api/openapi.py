"""The OpenAPI document: what FastAPI finds, plus the problems every route can answer."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from heimdall.api.access import COOKIE, is_open
from heimdall.api.errors import MEDIA_TYPE, Problem
from heimdall.sdk.spec import TrainerSpec

SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}
REFERENCE = "#/components/schemas/{model}"
EVERYWHERE = (400, 403, 421, 503)  # NUL in the address, foreign origin, unknown host, database away
BEHIND_LOGIN = (401, 429)
WITH_BODY = (413, 415, 422)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documents these statuses as problems: for `responses=`."""
    schema = {"$ref": REFERENCE.format(model="Problem")}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def operation_id(route: APIRoute) -> str:
    return route.name


def install_openapi(app: FastAPI, specs: Mapping[str, TrainerSpec], description: str) -> None:
    """Make `app.openapi()` answer the whole document, built at the first call."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=description, routes=app.routes)
            _add_schemas(schema, specs)
            schema["components"]["securitySchemes"] = SECURITY_SCHEMES
            schema["security"] = [{name: []} for name in SECURITY_SCHEMES]
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    if is_open(path):
                        operation["security"] = []
                    _add_problems(method, operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document


def _add_schemas(schema: dict[str, Any], specs: Mapping[str, TrainerSpec]) -> None:
    """The problem itself, and the config of each trainer as `{Kind}Config`."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    models = {"Problem": Problem.model_json_schema(ref_template=REFERENCE)}
    for kind, spec in specs.items():
        models[f"{kind.capitalize()}Config"] = spec.config_model.model_json_schema(ref_template=REFERENCE)
    for name, model in models.items():
        schemas.update(model.pop("$defs", {}))
        schemas[name] = model
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)


def _add_problems(method: str, operation: dict[str, Any]) -> None:
    statuses = [*EVERYWHERE] if "security" in operation else [*EVERYWHERE, *BEHIND_LOGIN]
    if "requestBody" in operation:
        statuses += WITH_BODY
    elif method not in {"get", "head"}:
        statuses += WITH_BODY[:2]
    if operation.get("parameters"):
        statuses.append(422)
    responses = operation["responses"]
    for status, answer in problems(*statuses).items():
        existing = responses.get(str(status))
        if existing is None or "HTTPValidationError" in str(existing):
            responses[str(status)] = answer
