"""Reads JSON bodies strictly: no NaN, no infinity, nothing a database cannot keep."""

import codecs
import json
import math
from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from heimdall.api.query import check_query, query_parameters

MAX_DEPTH = 64


def parse_json(body: bytes) -> Any:
    """The value of a JSON text, which may begin with a byte order mark.

    Raises:
        JSONDecodeError: not JSON by RFC 8259, or a number that is not finite, a text with a NUL or half a
            surrogate pair, more than `MAX_DEPTH` levels.
    """
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise JSONDecodeError("it is not UTF-8", "", error.start) from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except JSONDecodeError:
        raise
    except RecursionError:
        raise JSONDecodeError("it is nested too deeply", text, 0) from None
    except ValueError as error:
        raise JSONDecodeError(str(error).split(":", maxsplit=1)[0], text, 0) from None
    _check(value, MAX_DEPTH)
    return value


def _refuse_constant(name: str) -> float:
    raise JSONDecodeError(f"{name} is not a JSON number", "", 0)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JSONDecodeError("a number is too large", "", 0)
    return value


def _check(value: Any, levels_left: int) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise JSONDecodeError("a text holds a character that cannot be stored", "", 0)
    elif isinstance(value, list | dict):
        if not levels_left:
            raise JSONDecodeError("it is nested too deeply", "", 0)
        inner = cast("list[Any] | dict[str, Any]", value)
        for item in inner:
            _check(item, levels_left - 1)
        if isinstance(inner, dict):
            for item in inner.values():
                _check(item, levels_left - 1)


class JsonRequest(Request):
    @override
    async def json(self) -> Any:
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose body is read by `parse_json`, and which takes no query parameters but its own."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        parameters = query_parameters(self.dependant)

        async def handle_strictly(request: Request) -> Response:
            check_query(request.query_params, parameters)
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_strictly
