"""Reads a config that another release of the product, or of a trainer, has stored."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk.field_error import reason

MAX_SHOWN = 100  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class KeptConfig:
    """`values` is the config as this release would store it; `warnings` has a sentence for each field left out."""

    values: dict[str, Any]
    warnings: list[str]


def model_of(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    """As from JSON, where configs come from: a strict model takes a list for a tuple, a text for an enum or a date.

    Raises: ValidationError.
    """
    return model.model_validate_json(to_json(values, inf_nan_mode="constants"))


def read_config(model: type[BaseModel], stored: Mapping[str, Any]) -> KeptConfig:
    """Fields that are new since get their defaults; fields that `model` does not know any more are left out.

    Raises:
        InvalidConfigError: a field holds what this release does not accept.
    """
    known, warnings = without_unknown(model, stored)
    try:
        values = model_of(model, known).model_dump(mode="json")
    except ValidationError as error:
        raise InvalidConfigError(_refusal(error)) from error
    return KeptConfig(values, warnings)


def without_unknown(model: type[BaseModel], stored: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of `stored` that `model` knows, right or wrong, and a warning for each of the others."""
    known = copy.deepcopy(dict(stored))
    warnings: list[str] = []
    try:
        model_of(model, known)
    except ValidationError as error:
        for entry in error.errors(include_url=False, include_context=False):
            if entry["type"] == "extra_forbidden" and _remove(known, entry["loc"]):
                warnings.append(
                    f"The config field {_name(entry['loc'])} (it was {_shown(entry['input'])}) is unknown to this "
                    "release and is ignored."
                )
    return known, warnings


def _remove(values: dict[str, Any], place: Sequence[int | str]) -> bool:
    """False when `place` is no way through dicts and lists, as in the choices of a union."""
    *way, last = place
    holder: Any = values
    for step in way:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return False
    if not isinstance(holder, dict) or last not in holder:
        return False
    del cast("dict[Any, Any]", holder)[last]
    return True


def _refusal(error: ValidationError) -> str:
    first, *more = error.errors(include_url=False)
    others = f" ({len(more)} more like it)" if more else ""
    return (
        f"This release does not accept {_shown(first['input'])} for the config field {_name(first['loc'])}: "
        f"it {reason(first)}{others}; clone the job with another value."
    )


def _name(place: Sequence[int | str]) -> str:
    return ".".join(str(step) for step in place) or "config"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
