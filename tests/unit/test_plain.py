"""What a trainer hands over, as plain numbers and JSON."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heimdall.domain.plain import LARGEST, plain_json, real_number, whole_number
from heimdall.domain.text import clean, cut


@pytest.mark.parametrize(
    "value", [3, np.int64(3), np.uint8(3), 3.0, np.float32(3), torch.tensor(3), torch.tensor([3.0])]
)
def test_whole_numbers_of_every_library_are_taken(value: Any) -> None:
    number = whole_number("step", value)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize(
    "value", [-1, 1 << 62, pytest.param(10**5000, id="huge"), 0.5, float("nan"), float("inf"), "3", None, [3], 1 + 2j]
)
def test_other_steps_are_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^step .*\.$"):
        whole_number("step", value)
    assert whole_number("step", LARGEST) == LARGEST


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.array([0.5]), torch.tensor(0.5, requires_grad=True), Decimal("0.5"), torch.tensor([0.5])],
)
def test_numbers_of_every_library_are_taken_without_a_warning(value: Any) -> None:
    number = real_number("loss", value)
    assert (number, type(number)) == (0.5, float)


@pytest.mark.parametrize(
    "value", ["0.5", b"1", np.str_("1"), None, 1j, np.complex64(1), [1.0], {}, np.zeros(2), torch.zeros(2), 10**400]
)
def test_other_values_are_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^loss .*\.$"):
        real_number("loss", value)


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_any_value_becomes_json() -> None:
    circle: list[Any] = []
    circle.append(circle)
    value = {
        "caf\udce9": np.float32(0.5),
        3: (np.arange(2), torch.zeros(1), {1}),
        "path": Path("/a"),
        "odd": Odd(),
        "circle": circle,
        "flag": np.bool_(True),
        "huge": 10**5000,
    }
    made = plain_json(value)
    json.dumps(made, ensure_ascii=False).encode("utf-8")
    circle.clear()
    assert made.pop("circle")
    assert made == {
        "caf\ufffd": 0.5,
        "3": [[0, 1], 0.0, [1]],
        "path": "/a",
        "odd": "<Odd>",
        "flag": True,
        "huge": "<int>",
    }


def test_text_is_cleaned_and_cut() -> None:
    assert clean("a\0b\udce9ü😀") == "a\ufffdb\ufffdü😀"
    assert cut("x" * 10, 10) == "x" * 10
    assert cut("x" * 2010, 10) == "x" * 10 + "… (2,000 more characters)"
