"""Prints tables for people, exact columns into pipes, JSON for scripts."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from heimdall.cli.terminal import encoding, is_terminal, is_unicode

T = TypeVar("T")
# Control characters of both sets, line separators, changes of the writing direction, lone surrogates.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """Text from outside that can be shown: what a terminal would obey or cannot show is written as an escape.

    Tabs and ends of lines stay.
    """
    safe = UNSAFE.sub(lambda found: _escaped(found[0]), text)
    return safe.encode(encoding(), "backslashreplace").decode(encoding())


def clean_line(text: str) -> str:
    """The same on one line."""
    return clean(re.sub(r"[\t\r\n]", " ", text))


def say(text: str, *, flush: bool = False) -> None:
    """Print text that may hold words from outside."""
    print(clean(text), flush=flush)


def print_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=not is_unicode())
    print(UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    may_be_cut: Sequence[str] = (),
    may_wrap: Sequence[str] = (),
) -> None:
    """On a terminal a table that fits it; else one line a row, columns separated by tabs, nothing cut off.

    On a narrow terminal the columns in `may_be_cut` are shortened and those in `may_wrap` take more lines; then
    columns are left out from the right, and named below the table.
    """
    if not is_terminal():
        for row in [headings, *rows]:
            print("\t".join(exact_text(cell) for cell in row))
        return
    from heimdall.cli.table import Table

    texts = [[text_of(cell) for cell in row] for row in rows]
    Table([clean_line(heading) for heading in headings], texts, may_be_cut=may_be_cut, may_wrap=may_wrap).print()


def print_fields(fields: Mapping[str, object]) -> None:
    """One line a field, those within a field too (`config.epochs`); those without a value are left out."""
    shown = {
        clean_line(name): text_of(value) if is_terminal() else exact_text(value)
        for name, value in _flat(fields).items()
        if value not in (None, "", [], {})
    }
    width = max((len(name) for name in shown), default=0)
    for name, text in shown.items():
        print(f"{name:<{width}}  {text}" if is_terminal() else f"{name}\t{text}")


def for_people(shown: T, exact: T) -> T:
    """`shown` on a terminal; in a pipe, where nothing is cut, `exact`."""
    return shown if is_terminal() else exact


def text_of(value: Any) -> str:
    """For people: numbers are rounded to five digits."""
    return f"{value:.5g}" if isinstance(value, float) else exact_text(value)


def exact_text(value: Any) -> str:
    """On one line, with every digit."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return clean_line(json.dumps(value, ensure_ascii=False))
    return clean_line(str(value))


def size_text(num_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def count_text(number: int, noun: str) -> str:
    """1 sample, 2 samples."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float) -> str:
    """2:05, 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _flat(fields: Mapping[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": one for inner, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
        else:
            flat[name] = value
    return flat


def _escaped(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
