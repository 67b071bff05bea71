"""What `log()` does in training's thread: read and check everything now, append one row, never raise."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from heimdall.domain.plain import LARGEST, real_number, whole_number
from heimdall.domain.text import clean, cut
from heimdall.worker.points import Row

DEVICE_VALUES = "heimdall.worker.device_values"  # loads torch, so only when a trainer logs tensors of an accelerator
MAX_NAME_CHARS = 200
SHOWN_NAME_CHARS = 60
MAX_SERIES = 10_000  # of one attempt
MAX_COMPLAINTS = 1000  # kept to say each once; the job's list of warnings has a bound of its own
ROW_FIELDS = frozenset({"epoch", "attempt", "timestamp", "duration_seconds", "non_finite"})  # of an epoch's row


class PointLog:
    """What cannot be stored is left out, with one warning for each name and kind of mistake."""

    def __init__(self, rows: deque[Row], warn: Callable[[str], None]) -> None:
        self._append = rows.append
        self._warn = warn
        self._names: set[str] = set()
        self._complaints: set[str] = set()

    def add(self, values: Mapping[str, Any], step: int) -> None:
        now = time.time()
        try:
            if type(step) is not int or not 0 <= step <= LARGEST:
                step = whole_number("the step", step)
            row: list[tuple[str, float]] = []
            on_device: list[tuple[str, Any]] = []
            for name, value in values.items():
                if type(value) is float and name in self._names:
                    row.append((name, value))
                elif name in self._names or self._is_usable(name):
                    self._read(name, value, row, on_device)
        except Exception as error:  # noqa: BLE001 - what a trainer logs may be of any class and raise anything
            self._complain(f"A call of log() was left out: {_sentence(error)}")
            return
        if row:
            self._append((step, now, row))
        if on_device:
            self._copy(step, now, on_device)

    def _read(self, name: str, value: Any, row: list[tuple[str, float]], on_device: list[tuple[str, Any]]) -> None:
        try:
            if getattr(value, "is_cpu", True):
                row.append((name, real_number("it", value)))
            else:
                on_device.append((name, value))
        except Exception as error:  # noqa: BLE001 - a value of any class may raise anything
            self._complain(f"Values of {_shown(name)} were left out of log(): {_sentence(error)}")

    def _copy(self, step: int, now: float, on_device: list[tuple[str, Any]]) -> None:
        try:
            self._append((step, now, import_module(DEVICE_VALUES).DeviceValues(on_device)))
        except Exception as error:  # noqa: BLE001 - tensors of any device and layout
            names = ", ".join(_shown(name) for name, _ in on_device[:5])
            self._complain(f"Values of {names} were left out of log(): {_sentence(error)}")

    def _is_usable(self, name: Any) -> bool:
        trouble = name_trouble(name)
        if trouble is None and len(self._names) >= MAX_SERIES:
            self._complain(f"log() was given more than {MAX_SERIES:,} names; those that came later were left out.")
            return False
        if trouble is not None:
            self._complain(f"Values of {_shown(name)} were left out of log(): {trouble}")
            return False
        self._names.add(name)
        return True

    def _complain(self, message: str) -> None:
        if message not in self._complaints and len(self._complaints) < MAX_COMPLAINTS:
            self._complaints.add(message)
            self._warn(message)


def name_trouble(name: Any) -> str | None:
    """Why it cannot name a series or a metric: a sentence, or None."""
    if not isinstance(name, str):
        return f"a name must be text, not {type(name).__name__}."
    if not name.strip():
        return "the name is empty."
    if len(name) > MAX_NAME_CHARS:
        return f"the name is longer than {MAX_NAME_CHARS} characters."
    return None if name.isprintable() else "the name holds characters that cannot be printed."


def _shown(name: Any) -> str:
    return f"'{cut(clean(name), SHOWN_NAME_CHARS)}'" if isinstance(name, str) else f"a {type(name).__name__}"


def _sentence(error: Exception) -> str:
    return str(error) if type(error) in {TypeError, ValueError} else f"it raised {type(error).__name__}."
