"""Values that a trainer handed over as plain numbers and JSON: they may be of NumPy, of torch, or anything else."""

import operator
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast

from heimdall.domain.text import clean, cut

LARGEST = (1 << 62) - 1  # of steps, epochs and sizes
MAX_DEPTH = 32
MAX_KEY_CHARS = 1000


def whole_number(name: str, value: Any, *, least: int = 0) -> int:
    """`value` (an int of any library, or a float without a fraction) as an int.

    Raises: TypeError (not a number), ValueError (has a fraction, below `least`, above 2**62 - 1).
    """
    try:
        number = int(operator.index(value))
    except TypeError:
        real = real_number(name, value)
        if not real.is_integer():
            raise ValueError(f"{name} must be a whole number, and {real} is not.") from None
        number = int(real)
    if not least <= number <= LARGEST:
        given = number if abs(number) < 10**20 else "a larger number"
        raise ValueError(f"{name} must be between {least} and 2**62 - 1, and {given} is not.")
    return number


def real_number(name: str, value: Any) -> float:
    """`value` (a number or a scalar of any library, also one that requires grad) as a float.

    Raises: TypeError (not a single number), ValueError (too large for a float).
    """
    try:
        item = getattr(value, "item", None)
        number = value if item is None else item()
        if type(number) is float:
            return number
        if not isinstance(number, str | bytes | bytearray):
            return float(number)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float.") from None
    except Exception:  # noqa: BLE001 - a value of any class may raise anything
        raise TypeError(f"{name} must be a number, not {type(value).__name__}.") from None
    raise TypeError(f"{name} must be a number, not {type(value).__name__}.")


def plain_json(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The same value out of what JSON knows; scalars of libraries become numbers, anything else its text."""
    if isinstance(value, str):
        return clean(value)
    if value is None or type(value) in {bool, float}:
        return value
    if not depth:
        return "…"
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {cut(clean(_text(key)), MAX_KEY_CHARS): plain_json(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(item, depth - 1) for item in cast("list[Any]", value)]
    return _plain_scalar(value, depth)


def _plain_scalar(value: Any, depth: int) -> Any:
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 64 else _text(int(value))
    if isinstance(value, float):
        return float(value)
    if not isinstance(value, PurePath):
        for name in ("item", "tolist"):  # of NumPy and torch: a scalar, then an array
            try:
                return plain_json(getattr(value, name)(), depth - 1)
            except Exception:  # noqa: BLE001 - a value of any class may raise anything
                continue
    return clean(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value of any class may raise anything
        return f"<{type(value).__name__}>"
