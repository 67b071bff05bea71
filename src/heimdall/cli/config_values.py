"""Reads `key=value` words and YAML files as a trainer's config, guided by the trainer's JSON Schema."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import yaml
from typing_extensions import override

from heimdall.domain.errors import InvalidInputError

Schema = Mapping[str, Any]
NULL_WORDS = frozenset({"null", "none"})
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def parse_values(words: Sequence[str], schema: Schema) -> dict[str, Any]:
    """`["epochs=3", "lr_scheduler=step"]` as `{"epochs": 3, "lr_scheduler": "step"}`.

    Raises: InvalidInputError, naming the word that does not fit.
    """
    return _as_json(dict(_parse_word(word, schema) for word in words))


def read_config(path: Path, schema: Schema) -> dict[str, Any]:
    """A YAML (or JSON) file of config fields.

    Values are read as the field's type wants them, as they are on the command line: `1e-3`, which YAML takes for
    text, as a number, and `32` as text where the field holds text.

    Raises: InvalidInputError.
    """
    try:
        loaded: Any = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_TextKeeper)  # noqa: S506 (it is a SafeLoader)
    except OSError as error:
        raise InvalidInputError(f"The config file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"The config file {path} cannot be read: it is not text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise InvalidInputError(f"The config file {path} is not YAML: {error.problem}{line}.") from None
    except (yaml.YAMLError, ValueError, RecursionError):  # characters that YAML forbids, dates that no calendar has
        raise InvalidInputError(f"The config file {path} is not YAML.") from None
    if not isinstance(loaded, dict):
        raise InvalidInputError(f"The config file {path} must hold `field: value` lines.")
    fields: dict[str, Any] = {_plain_text(name): value for name, value in loaded.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return _as_json({name: _fit(name, value, _field_schema(name, schema), schema) for name, value in fields.items()})


def describe_values(name: str, schema: Schema) -> str:
    """What a field may hold, for people: `integer 1 to 1000`, `number above 0, at most 1`, `cosine, step, plateau`."""
    return " or ".join(_describe(one) for one in _field_schema(name, schema))


def _describe(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(str(value) for value in field["enum"])
    if "const" in field:
        return str(field["const"])
    if "minimum" in field and "maximum" in field:
        bounds = f" {field['minimum']} to {field['maximum']}"
    else:
        said = [f"{words} {field[key]}" for key, words in BOUNDS.items() if key in field]
        bounds = f" {', '.join(said)}" if said else ""
    return f"{field.get('type', 'any')}{bounds}"


@dataclass(frozen=True, slots=True)
class _Scalar:
    """A value of a YAML file that is not text, and how it is written there."""

    value: Any
    text: str


class _TextKeeper(yaml.SafeLoader):
    """Loads numbers, truth values and dates as `_Scalar`."""

    @override
    def construct_object(self, node: Any, deep: bool = False) -> Any:
        value: Any = super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType]
        if isinstance(node, yaml.ScalarNode) and value is not None and not isinstance(value, str | _Scalar):
            return _Scalar(value, str(node.value))
        return value


def _plain_text(name: object) -> str:
    return name.text if isinstance(name, _Scalar) else str(name)


def _fit(name: str, value: Any, alternatives: Sequence[Schema], root: Schema) -> Any:
    """A loaded value as the schema wants it."""
    types = _types(alternatives)
    if isinstance(value, _Scalar):
        is_text = "string" in types and not types & _types_of(value.value)
        return value.text if is_text else value.value
    if isinstance(value, str):
        return value if value == "" else _value_of(name, value, alternatives)
    if isinstance(value, list):
        items = [schema for one in alternatives for schema in _alternatives(one.get("items", {}), root)]
        return [_fit(name, one, items, root) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        inner = {key: one for schema in alternatives for key, one in schema.get("properties", {}).items()}
        return {
            _plain_text(key): _fit(name, one, _alternatives(inner.get(_plain_text(key), {}), root), root)
            for key, one in cast("dict[Any, Any]", value).items()
        }
    return value


def _types_of(value: object) -> set[str]:
    """The types of a schema that a value already has: a whole number is a number too."""
    return {_type_name(value)} | ({"number"} if isinstance(value, int) and not isinstance(value, bool) else set())


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
    if not text.strip():  # to train on the default would be training on the wrong data
        raise InvalidInputError(f"{word!r} gives no value; was a shell variable empty? {name}=null means none.")
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


def _list_of(text: str) -> Any:
    return _json_of(text, list)


def _object_of(text: str) -> Any:
    return _json_of(text, dict)


def _json_of(text: str, wanted: type) -> Any:
    """Raises: ValueError."""
    value = json.loads(text)
    if not isinstance(value, wanted):
        raise ValueError(text)
    return value


def _any_value(name: str, text: str) -> Any:
    """Of a field that the schema says nothing of: as YAML reads it."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise InvalidInputError(f"{name} cannot be {text!r}: it is not YAML; put text in quotes.") from None


def _value_of(name: str, text: str, alternatives: Sequence[Schema]) -> Any:
    types = _types(alternatives)
    if not types:
        return _any_value(name, text)
    if "null" in types and text.lower() in NULL_WORDS:
        return None
    if "boolean" in types and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    for kind, convert in (("integer", int), ("number", float), ("array", _list_of), ("object", _object_of)):
        if kind in types:
            try:
                return convert(text)
            except ValueError:
                continue
    if "string" in types:
        return text
    raise InvalidInputError(f"{name} takes {' or '.join(sorted(types))}, not {text!r}.{_example(name, text, types)}")


def _example(name: str, text: str, types: set[str]) -> str:
    """How a list or an object is written, which a shell makes hard."""
    if "array" in types:
        try:
            json.loads(f"[{text}]")
        except ValueError:
            text = "1, 2"
        return f" Write it as JSON, in quotes: {name}='[{text}]'."
    if "object" in types:
        return f" Write it as JSON, in quotes: {name}='{{\"key\": 1}}'."
    return ""
