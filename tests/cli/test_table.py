"""Tables on a terminal of a given width."""

import io
import re
from typing import Any

import pytest

from heimdall.cli.output import print_table

ROWS = [("1a2b3c4d", "a name of some length", 0.123456789, "x" * 30), ("2b3c4d5e", "short", 12.5, "y")]


class Terminal(io.TextIOWrapper):
    """A standard output that says it is a terminal."""

    def __init__(self, encoding: str) -> None:
        self._written = io.BytesIO()
        super().__init__(self._written, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        text = self._written.getvalue().decode(self.encoding)
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


def shown(
    monkeypatch: pytest.MonkeyPatch, columns: int, rows: list[Any] = ROWS, *, encoding: str = "utf-8", **kinds: Any
) -> list[str]:
    terminal = Terminal(encoding)
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    print_table(["id", "name", "loss", "text"], rows, **kinds)
    lines = terminal.lines
    assert all(len(line) <= columns for line in lines), lines
    return lines


def test_a_wide_terminal_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, first, _ = shown(monkeypatch, 100)
    assert heading.split() == ["id", "name", "loss", "text"]
    assert first.split("  ") == ["1a2b3c4d", "a name of some length", "0.12346", "x" * 30]


def test_columns_are_left_out_from_the_right_and_no_value_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, first, second, note = shown(monkeypatch, 60)
    assert heading.split() == ["id", "name", "loss"]
    assert first.split("  ") == ["1a2b3c4d", "a name of some length", "0.12346"]
    assert second.split() == ["2b3c4d5e", "short", "12.5"]
    assert note == "Not shown in 60 columns: text. A pipe or --json has them."


def test_names_are_shortened_before_a_column_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    heading, first, _ = shown(monkeypatch, 64, may_be_cut=["name"])
    assert heading.split() == ["id", "name", "loss", "text"]
    assert "…" in first
    assert "~" in shown(monkeypatch, 64, encoding="latin-1", may_be_cut=["name"])[1]


def test_prose_wraps_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("1", "name", 1.0, "many words that make a long sentence " * 3)]
    lines = shown(monkeypatch, 60, rows, may_wrap=["text"])
    assert len(lines) > 3
    assert lines[0].split() == ["id", "name", "loss", "text"]
