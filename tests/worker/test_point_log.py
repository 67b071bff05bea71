"""What `log()` takes, and what it leaves out without ever raising."""

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from heimdall.worker.device_values import DeviceValues
from heimdall.worker.point_log import MAX_SERIES, PointLog
from heimdall.worker.points import Row, by_series


class OnDevice(Tensor):
    """A tensor that says it is not on the CPU."""

    @property
    def is_cpu(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return False


def on_device(value: Tensor) -> Tensor:
    return value.as_subclass(OnDevice)  # pyright: ignore[reportArgumentType]


class Log:
    def __init__(self) -> None:
        self.rows: deque[Row] = deque()
        self.warnings: list[str] = []
        self.log = PointLog(self.rows, self.warnings.append).add

    @property
    def points(self) -> dict[str, list[tuple[int, float | None]]]:
        series = by_series(self.rows)
        return {one.name: [(step, value) for step, _, value in one.points] for one in series}


def type_name(value: object) -> str:
    return type(value).__name__


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes here")


@pytest.mark.filterwarnings("error")
def test_numbers_of_every_library_become_points() -> None:
    log = Log()
    values = {
        "a": 1,
        "b": 0.5,
        "c": np.float32(0.5),
        "d": torch.tensor(0.5, requires_grad=True),
        "e": True,
        "f": on_device(torch.tensor(0.5, requires_grad=True)),
        "g": on_device(torch.tensor([3], dtype=torch.int64)),
        "h": float("nan"),
    }
    log.log(values, np.int64(7))  # pyright: ignore[reportArgumentType]
    expected = {"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.5, "e": 1.0, "f": 0.5, "g": 3.0, "h": None}
    assert log.points == {name: [(7, value)] for name, value in expected.items()}
    assert log.warnings == []


@pytest.mark.parametrize("step", [-1, 1.5, 1 << 62, None, "3", float("nan"), [1], Hostile()], ids=type_name)
def test_a_wrong_step_is_left_out_and_said_once(step: Any) -> None:
    log = Log()
    for _ in range(1000):
        log.log({"loss": 1.0}, step)
    log.log({"loss": 2.0}, 1)
    assert log.points == {"loss": [(1, 2.0)]}
    (warning,) = log.warnings
    assert "step" in warning


@pytest.mark.parametrize(
    "value", ["0.5", None, 1j, [1.0], {"a": 1.0}, np.zeros(2), torch.zeros(2), Hostile()], ids=type_name
)
def test_a_wrong_value_is_left_out_alone(value: Any) -> None:
    log = Log()
    for step in range(1000):
        log.log({"bad": value, "good": 1.0}, step)
    assert list(log.points) == ["good"]
    assert len(log.points["good"]) == 1000
    assert len(log.warnings) == 1
    assert len(log.warnings[0]) < 300


@pytest.mark.parametrize(
    "name", [3, "", "  ", "caf\udce9", "a\0b", "two\nlines", "\x1b[31m", "x" * 1_000_000, None, (1, 2)],
    ids=["int", "empty", "blank", "surrogate", "nul", "lines", "escape", "long", "none", "tuple"],
)  # fmt: skip
def test_a_wrong_name_is_left_out_alone(name: Any) -> None:
    log = Log()
    for step in range(1000):
        log.log({name: 1.0, "good": 1.0}, step)
    assert {series: len(points) for series, points in log.points.items()} == {"good": 1000}
    (warning,) = log.warnings
    warning.encode()
    assert len(warning) < 300


def test_what_is_no_mapping_is_left_out() -> None:
    log = Log()
    for values in (None, [("loss", 1.0)], 3, Hostile()):
        log.log(values, 1)  # pyright: ignore[reportArgumentType]
    assert not log.rows
    assert log.warnings


def test_endless_new_names_come_to_an_end() -> None:
    log = Log()
    for number in range(MAX_SERIES + 500):
        log.log({f"grad/{number}": 1.0}, 1)
    assert len(log.points) == MAX_SERIES
    assert len(log.warnings) == 1


def test_values_of_a_device_are_those_of_the_moment_of_the_call() -> None:
    tensors = {"a": torch.tensor(0.5, requires_grad=True), "b": torch.tensor(7), "c": torch.tensor([1.5]).half()}
    values = DeviceValues(list(tensors.items()))
    for tensor in tensors.values():
        tensor.detach().zero_()
    assert len(values) == 3
    assert dict(values) == {"a": 0.5, "b": 7.0, "c": 1.5}


@pytest.mark.parametrize("tensor", [torch.zeros(2), torch.zeros(0), torch.tensor(1j)], ids=["two", "none", "complex"])
def test_a_tensor_of_a_device_that_is_no_number_is_left_out(tensor: Tensor) -> None:
    log = Log()
    for step in range(10):
        log.log({"bad": on_device(tensor), "good": 1.0}, step)
    assert list(log.points) == ["good"]
    assert len(log.warnings) == 1
