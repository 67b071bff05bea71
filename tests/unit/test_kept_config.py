"""A config that another release stored is read with new defaults, without removed fields, or refused by name."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk.kept_config import KeptConfig, read_config, without_unknown


class Mode(StrEnum):
    FAST = "fast"


class Optimizer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Literal["adam", "sgd"] = "adam"
    betas: list[float] = [0.9, 0.999]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    epochs: int
    optimizer: Optimizer = Optimizer()
    new: int = 5


def test_a_new_field_gets_its_default() -> None:
    kept = read_config(Config, {"epochs": 3})
    assert kept.values == {"epochs": 3, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}, "new": 5}
    assert kept.warnings == []


def test_a_removed_field_is_left_out_with_a_warning_that_names_its_value() -> None:
    stored: dict[str, Any] = {"epochs": 3, "mixup": 0.2, "optimizer": {"name": "sgd", "nesterov": True}}
    kept = read_config(Config, stored)
    assert kept.values["optimizer"] == {"name": "sgd", "betas": [0.9, 0.999]}
    assert kept.warnings == [
        "The config field optimizer.nesterov (it was True) is unknown to this release and is ignored.",
        "The config field mixup (it was 0.2) is unknown to this release and is ignored.",
    ]
    assert stored["mixup"] == 0.2
    assert stored["optimizer"]["nesterov"]


class Rich(BaseModel):
    """Whose JSON has other types than its fields."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kernel: tuple[int, int] = (3, 3)
    mode: Mode = Mode.FAST
    until: date = date(2026, 1, 31)
    folder: Path = Path("/data")
    names: frozenset[str] = frozenset({"a"})
    weights: dict[int, float] = {1: 0.5}


def test_a_strict_model_reads_what_it_stored() -> None:
    stored = Rich().model_dump(mode="json")
    assert read_config(Rich, stored) == KeptConfig(stored, [])
    assert read_config(Rich, {**stored, "gone": 1}).values == stored


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"epochs": 3, "optimizer": {"name": "lion"}}, "not accept 'lion' for the config field optimizer.name"),
        ({"epochs": "three"}, "not accept 'three' for the config field epochs"),
        ({"epochs": "x" * 5000}, "…"),
        ({}, "epochs"),
        ({"epochs": "three", "new": None}, "1 more like it"),
    ],
)
def test_a_value_that_is_no_longer_possible_is_refused_in_one_sentence(stored: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        read_config(Config, stored)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_wrong_value_beside_a_removed_field_is_kept_for_whoever_replaces_it() -> None:
    known, warnings = without_unknown(Config, {"epochs": "three", "mixup": 0.2})
    assert known == {"epochs": "three"}
    assert len(warnings) == 1
