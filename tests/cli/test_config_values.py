"""`key=value` words and YAML files as a trainer's config."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from heimdall.cli.config_values import describe_values, parse_values, read_config
from heimdall.domain.errors import InvalidInputError


class Inner(BaseModel):
    depth: int = 1


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    epochs: int = 10
    learning_rate: float = 0.1
    pretrained: bool | None = None
    precision: Literal["32", "bf16"] = "32"
    dataset_id: str | None = None
    layers: list[int] = []
    inner: Inner = Inner()


SCHEMA = Config.model_json_schema()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("epochs=3", {"epochs": 3}),
        ("learning_rate=1e-3", {"learning_rate": 0.001}),
        ("learning_rate=1", {"learning_rate": 1.0}),
        ("pretrained=true", {"pretrained": True}),
        ("pretrained=no", {"pretrained": False}),
        ("pretrained=null", {"pretrained": None}),
        ("precision=32", {"precision": "32"}),
        ("dataset_id=1e5", {"dataset_id": "1e5"}),
        ("dataset_id=none", {"dataset_id": None}),
        ("dataset_id=a=b", {"dataset_id": "a=b"}),
        ("layers=[1, 2]", {"layers": [1, 2]}),
        ('inner={"depth": 2}', {"inner": {"depth": 2}}),
    ],
)
def test_a_word_gets_the_type_of_its_field(word: str, expected: dict[str, Any]) -> None:
    parsed = parse_values([word], SCHEMA)
    assert parsed == expected
    Config.model_validate(parsed)  # strict: the types are right too


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("epochs", "key=value"),
        ("dataset_id=", "was a shell variable empty?"),  # training on the default would be the wrong data
        ("epochs= ", "was a shell variable empty?"),
        ("epochs=ten", "epochs takes integer"),
        ("epochs=1.5", "epochs takes integer"),
        ("learning_rate=nan", "learning_rate cannot be nan"),
        ("pretrained=maybe", "boolean or null"),
        ("layers=[1", "layers takes array"),
        ("layers=8,8", "layers='[8,8]'"),
        ("inner=2", "inner='{\"key\": 1}'"),
        ("epoch=3", "did you mean 'epochs'"),
        ("xyz=3", "fields: epochs, learning_rate"),
    ],
)
def test_a_word_that_does_not_fit_is_named(word: str, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_values([word], SCHEMA)
    assert told in str(caught.value)


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
def test_any_value_survives(epochs: int, learning_rate: float, dataset_id: str) -> None:
    assume(dataset_id.strip())
    words = [f"epochs={epochs}", f"learning_rate={learning_rate!r}", f"dataset_id={dataset_id}"]
    parsed = parse_values(words, SCHEMA)
    none_words = ("null", "none")
    expected_id = None if dataset_id.lower() in none_words else dataset_id
    assert parsed == {"epochs": epochs, "learning_rate": learning_rate, "dataset_id": expected_id}


def test_open_schema_takes_anything() -> None:
    schema: dict[str, Any] = {"properties": {}, "additionalProperties": True}
    assert parse_values(["a=1", "b=[x, y]", "c=text"], schema) == {"a": 1, "b": ["x", "y"], "c": "text"}


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("epochs: 3\nlearning_rate: 1e-3  # YAML 1.1 calls this text\nprecision: bf16\nlayers: [1]\n")
    parsed = read_config(path, SCHEMA)
    assert parsed == {"epochs": 3, "learning_rate": 0.001, "precision": "bf16", "layers": [1]}
    Config.model_validate(parsed)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("precision: 32", {"precision": "32"}),
        ("dataset_id: 1.10", {"dataset_id": "1.10"}),
        ("dataset_id: 2026-01-31", {"dataset_id": "2026-01-31"}),
        ("dataset_id: yes", {"dataset_id": "yes"}),
        ("dataset_id: ~", {"dataset_id": None}),
        ("pretrained: yes", {"pretrained": True}),
        ("learning_rate: 1", {"learning_rate": 1}),
        ("layers: [1, 2]", {"layers": [1, 2]}),
        ("inner: {depth: 2}", {"inner": {"depth": 2}}),
        ("\ufeffepochs: 3", {"epochs": 3}),
    ],
)
def test_a_value_in_a_file_gets_the_type_of_its_field(tmp_path: Path, line: str, expected: dict[str, Any]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(line + "\n", encoding="utf-8")
    parsed = read_config(path, SCHEMA)
    assert parsed == expected
    Config.model_validate(parsed)


def test_text_within_lists_and_objects_of_a_file_stays_as_it_is_written(tmp_path: Path) -> None:
    class Nested(BaseModel):
        tags: list[str] = []
        versions: dict[str, Any] = {}

    path = tmp_path / "config.yaml"
    path.write_text("tags: [1.10, on, word]\nversions: {a: 1, 2: [3]}\n")
    expected = {"tags": ["1.10", "on", "word"], "versions": {"a": 1, "2": [3]}}
    assert read_config(path, Nested.model_json_schema()) == expected


@pytest.mark.parametrize("line", ["epoch: 3", "epoch: [3]", "epoch: text"])
def test_a_misspelt_field_of_a_file_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(line)
    with pytest.raises(InvalidInputError, match="did you mean 'epochs'"):
        read_config(path, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "a: [",
        "",
        "epochs: 2026-01-01\n",
        "learning_rate: .nan\n",
        "epochs: \x07\n",
        "dataset_id: 2026-99-99\n",
        "epochs: *a\n",
        "[" * 5000,
    ],
)
def test_bad_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read_config(path, SCHEMA)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not str(caught.value).endswith("..")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"epochs: \xff")
    with pytest.raises(InvalidInputError, match="not text in UTF-8"):
        read_config(tmp_path / "config.yaml", SCHEMA)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nothing\.yaml"):
        read_config(tmp_path / "nothing.yaml", SCHEMA)


def test_description() -> None:
    schema = {"properties": {"epochs": {"type": "integer", "minimum": 1, "maximum": 1000}}}
    assert describe_values("epochs", schema) == "integer 1 to 1000"
    open_ends = {"properties": {"rate": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}}
    assert describe_values("rate", open_ends) == "number above 0, below 1"
    half_open = {"properties": {"rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}}}
    assert describe_values("rate", half_open) == "number above 0, at most 1"
    assert describe_values("precision", SCHEMA) == "32, bf16"
    assert describe_values("pretrained", SCHEMA) == "boolean or null"
