"""What is wrong with a field of a config, request or setting, in words of ours instead of the validator's."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic_core.core_schema import ErrorType

MAX_SENTENCES = 5
SOURCES = ("query", "path", "header", "cookie")
NUMBER, WHOLE, TEXT, LIST = "must be a number", "must be a whole number", "must be text", "must be a list"
OBJECT = "must be an object with named fields"
MOMENT = "must be a date and time such as 2026-01-31T12:00:00Z"
# By the type of the validator's error, which is stable; the words in braces are from its context.
REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "is not valid JSON: {error}",
    "json_type": "must be JSON text",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "string_unicode": "must be valid Unicode text",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "int_parsing_size": "is too large",
    "recursion_loop": "contains itself",
    "url_scheme": "must be a URL that begins with {expected_schemes}",
    "timezone_aware": "must have a time zone, such as the Z in 2026-01-31T12:00:00Z",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), NUMBER),
    **dict.fromkeys(("string_type", "string_sub_type", "bytes_type"), TEXT),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), OBJECT),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), MOMENT),
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "must be a date such as 2026-01-31"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be a UUID"),
    **dict.fromkeys(("url_type", "url_parsing", "url_syntax_violation"), "must be a URL"),
    "path_type": "must be a path",
}
WRITTEN_BY_AUTHORS = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}
OTHERWISE = "has a value that cannot be used here"
OF_THE_LIBRARY = frozenset(get_args(ErrorType))


def reason(entry: Mapping[str, Any]) -> str:
    """Of one of Pydantic's error entries (`type`, `msg`, `ctx`), without the field's name and the full stop.

    An error that the author of a validator raised keeps the author's words.
    """
    kind = str(entry["type"])
    if kind in WRITTEN_BY_AUTHORS or kind not in OF_THE_LIBRARY:
        return str(entry["msg"]).removeprefix(WRITTEN_BY_AUTHORS.get(kind, "")).rstrip(".")
    text = REASONS.get(kind, OTHERWISE)
    context: Mapping[str, Any] = entry.get("ctx") or {}
    if kind in {"literal_error", "enum"}:
        expected = str(context["expected"])
        return text.format(expected=f"one of {expected}" if ", " in expected or " or " in expected else expected)
    return _singular(text.format_map(context))


def _singular(text: str) -> str:
    words = text.split(" ")
    if words[-2:-1] == ["1"]:
        words[-1] = {"characters": "character", "entries": "entry"}.get(words[-1], words[-1])
    return " ".join(words)


def sentence(entries: Sequence[Mapping[str, Any]]) -> str:
    """Each field (`loc`) with its own reason (`msg`)."""
    told = "; ".join(_clause(entry) for entry in entries[:MAX_SENTENCES])
    more = len(entries) - MAX_SENTENCES
    told += f"; and {more} more" if more > 0 else ""
    return told if told.endswith("?") else f"{told}."


def _clause(entry: Mapping[str, Any]) -> str:
    loc = list(entry["loc"])
    if len(loc) > 1 and loc[0] in SOURCES:  # where a client sent it is of no help to a person
        loc = [part for part in loc[1:] if isinstance(part, str)]
    place = ".".join(str(part) for part in loc)
    return f"{place}: {entry['msg']}" if place else str(entry["msg"])
