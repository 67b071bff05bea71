"""Every error as `application/problem+json` (RFC 9457): one sentence to act on, no traceback, no path of the server."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from heimdall.api.head import allowed_methods
from heimdall.domain.errors import HeimdallError, InvalidInputError, UnavailableError
from heimdall.sdk.field_error import reason, sentence

MEDIA_TYPE = "application/problem+json"
CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
RETRY = {"Retry-After": "1"}
logger = logging.getLogger(__name__)


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """`errors` is there with status 422 only."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FieldError] | None = None


def problem(
    status: int,
    detail: str,
    *,
    code: str,
    instance: str,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:heimdall:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(json.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install_error_handlers(app: FastAPI) -> None:
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        HeimdallError: _domain_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_error,
        RecursionError: _too_deep,
        Exception: _unexpected_error,
    }
    for error_class, handler in handlers.items():
        app.add_exception_handler(error_class, handler)


async def _domain_error(request: Request, error: HeimdallError) -> Response:
    errors = error.errors if isinstance(error, InvalidInputError) else None
    path = request.url.path
    headers = RETRY if isinstance(error, UnavailableError) else None
    if error.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        logger.warning("%s %s: %s (%s)", request.method, path, error, error.__cause__ or "no more is known")
    return problem(error.status_code, str(error), code=error.code, instance=path, errors=errors, headers=headers)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    found = cast("Sequence[dict[str, Any]]", error.errors())
    entries = [field_error(entry) for entry in found]
    detail = sentence(entries)
    return problem(422, detail, code=InvalidInputError.code, instance=request.url.path, errors=entries)


async def _http_error(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "http_error")
    detail, headers = error.detail, error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {request.url.path}."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = ", ".join(allowed_methods(request.app.routes, request.scope))
        detail = f"{request.method} is not possible at {request.url.path}; {methods} are."
        headers = {"Allow": methods}
    return problem(error.status_code, detail, code=code, instance=request.url.path, headers=headers)


async def _too_deep(request: Request, error: RecursionError) -> Response:
    detail = "Something in the request is nested too deeply."
    entries = [{"loc": ["body"], "msg": detail}]
    return problem(422, detail, code=InvalidInputError.code, instance=request.url.path, errors=entries)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    detail = "This request failed because of an error in the server; the server's log has the details."
    return problem(500, detail, code=HeimdallError.code, instance=request.url.path)


def field_error(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Pydantic's entry in the wire's words: where in the body, and what is wrong."""
    loc = [part for index, part in enumerate(entry["loc"]) if not (index == 0 and part == "body")]
    if entry["type"] == "json_invalid":
        return {"loc": [], "msg": f"The body is not valid JSON: {entry['ctx']['error']} (at {loc[-1]})"}
    if not loc and entry["type"] == "missing":
        return {"loc": [], "msg": "The request needs a body in JSON"}
    return {"loc": loc, "msg": reason(entry) if loc else f"The body {reason(entry)}"}
