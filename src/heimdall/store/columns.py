"""Column types that come back the same from SQLite and PostgreSQL, and JSON that is always valid on the wire."""

import json
import math
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import DateTime, Dialect, Double, Text, TypeDecorator

from heimdall.domain.text import clean

W = TypeVar("W", bound=StrEnum)
SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # escapes of NUL and of surrogates, also of those in pairs


class PlainText(TypeDecorator[str]):
    """Text that both databases can hold: PostgreSQL has no NUL, UTF-8 no lone surrogates; both become `�`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else plain(value)


def plain(text: str) -> str:
    """The text with `�` for what a database cannot hold."""
    return clean(text)


class Word(TypeDecorator[W], Generic[W]):
    """A member of a domain enum, stored as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[W]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: W | None, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> W | None:
        return None if value is None else self.words(value)


class Real(TypeDecorator[float]):
    """A finite double; what is not finite becomes NULL. SQLite may hand whole numbers back as int."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None else float(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware moment. SQLite keeps no zone, so UTC is stored and put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; times are stored in UTC.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def to_json(value: Any) -> str:
    """JSON without NaN, infinities, NUL and lone surrogates: what is read back can go to the wire as it is."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(finite(value), allow_nan=False, separators=(",", ":"))
    return json.dumps(_clean(json.loads(text)), separators=(",", ":")) if SUSPECT.search(text) else text


def from_json(text: str | bytes) -> Any:
    """The value, without what older releases stored and no reader could send on."""
    text = text if isinstance(text, str) else text.decode()
    value = json.loads(text)
    return _clean(value) if SUSPECT.search(text) else value


def _clean(value: Any) -> Any:
    """The same value with `�` for every character that cannot be stored or sent, at any depth."""
    match value:
        case str():
            return clean(value)
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {clean(name): _clean(item) for name, item in items}
        case list():
            return [_clean(item) for item in cast("list[Any]", value)]
        case _:
            return value


def finite(value: Any) -> Any:
    """The same value with None for every number that is not finite, at any depth."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: finite(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list() | tuple():
            return [finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def non_finite_name(value: float) -> str:
    """`NaN`, `Infinity` or `-Infinity`."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
