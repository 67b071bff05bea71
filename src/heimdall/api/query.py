"""Query parameters that no route reads are refused: a misspelt filter would show everything."""

import difflib
from collections.abc import Mapping
from typing import get_origin

from fastapi.dependencies.models import Dependant
from starlette.datastructures import QueryParams

from heimdall.domain.errors import InvalidInputError


def query_parameters(dependant: Dependant) -> dict[str, bool]:
    """What a route and what it depends on read, by name: whether it may repeat."""
    found = {field.alias: get_origin(field.field_info.annotation) is list for field in dependant.query_params}
    for inner in dependant.dependencies:
        found |= query_parameters(inner)
    return found


def check_query(given: QueryParams, known: Mapping[str, bool]) -> None:
    """Raises: InvalidInputError naming every parameter that is unknown, or given twice though one value counts."""
    entries = [
        {"loc": ["query", name], "msg": message}
        for name in dict.fromkeys(name for name, _ in given.multi_items())
        if (message := _refusal(name, len(given.getlist(name)), known))
    ]
    if entries:
        first = entries[0]["msg"]
        more = f" ({len(entries) - 1} more)" if len(entries) > 1 else ""
        raise InvalidInputError(f"{first}{more}.", entries)


def _refusal(name: str, times: int, known: Mapping[str, bool]) -> str | None:
    if name in known:
        is_repeated = times > 1 and not known[name]
        return f"The query parameter {name!r} is given {times} times, and only one can count" if is_repeated else None
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    if nearest:
        return f"There is no query parameter {name!r} here; did you mean {nearest[0]!r}?"
    names = ", ".join(sorted(known))
    return f"There is no query parameter {name!r} here; " + (f"there are {names}" if names else "there are none")
