"""Reads `key=value` words and YAML files as a trainer's config, guided by the trainer's JSON Schema."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from heimdall.domain.errors import InvalidInputError

Schema = Mapping[str, Any]
NULL_WORDS = frozenset({"null", "none", ""})
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_values(words: Sequence[str], schema: Schema) -> dict[str, Any]:
    """`["epochs=3", "lr_scheduler=step"]` as `{"epochs": 3, "lr_scheduler": "step"}`.

    Raises: InvalidInputError, naming the word that does not fit.
    """
    return _as_json(dict(_parse_word(word, schema) for word in words))


def read_config(path: Path, schema: Schema) -> dict[str, Any]:
    """A YAML (or JSON) file of config fields. Text where the schema wants a number, such as `1e-3`, is read as one.

    Raises: InvalidInputError.
    """
    try:
        loaded: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The config file {path} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise InvalidInputError(f"The config file {path} is not YAML: {error}.") from None
    if not isinstance(loaded, dict):
        raise InvalidInputError(f"The config file {path} must hold `field: value` lines.")
    fields: dict[str, Any] = {str(name): value for name, value in loaded.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return _as_json(
        {
            name: _value_of(name, value, _field_schema(name, schema)) if isinstance(value, str) else value
            for name, value in fields.items()
        }
    )


def describe_values(name: str, schema: Schema) -> str:
    """What a field may hold, for people: `integer 1…1000`, `cosine, step, plateau`."""
    return " or ".join(_describe(one) for one in _field_schema(name, schema))


def _describe(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum", field.get("exclusiveMaximum"))
    bounds = (
        "" if least is None and most is None else f" {'' if least is None else least}…{'' if most is None else most}"
    )
    return f"{field.get('type', 'any')}{bounds}"


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    for name, value in fields.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):  # a date, NaN, an infinity
            raise InvalidInputError(
                f"{name} cannot be {value}: a config holds text, finite numbers and lists."
            ) from None
    return fields


def _parse_word(word: str, schema: Schema) -> tuple[str, Any]:
    name, separator, text = word.partition("=")
    if not separator:
        raise InvalidInputError(f"{word!r} is not of the form key=value.")
    return name, _value_of(name, text, _field_schema(name, schema))


def _field_schema(name: str, schema: Schema) -> list[Schema]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    if name in properties:
        return _alternatives(properties[name], schema)
    if schema.get("additionalProperties", False):
        return []
    near = get_close_matches(name, properties, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(properties)}."
    raise InvalidInputError(f"There is no config field {name!r}; {hint}")


def _alternatives(field: Schema, root: Schema) -> list[Schema]:
    """The simple schemas a field may follow, with references and unions resolved."""
    if "$ref" in field:
        definition: Any = root
        for part in str(field["$ref"]).removeprefix("#/").split("/"):
            definition = definition[part]
        return _alternatives(definition, root)
    for union in ("anyOf", "oneOf", "allOf"):
        if union in field:
            return [simple for one in field[union] for simple in _alternatives(one, root)]
    return [field]


def _types(alternatives: Sequence[Schema]) -> set[str]:
    found: set[str] = set()
    for one in alternatives:
        values: list[Any] = one.get("enum", [one["const"]] if "const" in one else [])
        declared: str | list[str] = one.get("type", [_type_name(value) for value in values])
        found.update([declared] if isinstance(declared, str) else declared)
    return found


def _type_name(value: object) -> str:
    names = {"str": "string", "bool": "boolean", "int": "integer", "float": "number", "NoneType": "null"}
    return names.get(type(value).__name__, "object")


def _value_of(name: str, text: str, alternatives: Sequence[Schema]) -> Any:
    types = _types(alternatives)
    if not types:
        return yaml.safe_load(text)
    if "null" in types and text.lower() in NULL_WORDS:
        return None
    if "boolean" in types and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    for kind, convert in (("integer", int), ("number", float), ("array", json.loads), ("object", json.loads)):
        if kind in types:
            try:
                return convert(text)
            except ValueError:
                continue
    if "string" in types:
        return text
    raise InvalidInputError(f"{name} takes {' or '.join(sorted(types))}, not {text!r}.")
