"""How values are printed."""

import json

import pytest

from heimdall.cli.output import UNSAFE, duration_text, print_json, print_table, size_text, text_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (True, "yes"),
        (0.123456789, "0.12346"),
        (3, "3"),
        ("a\tb\nc", "a b c"),
        ("a\rb", "a b"),
        ("\x1b[2J\x07\x9b", "\\x1b[2J\\x07\\x9b"),
        ("\ud800\u202e", "\\ud800\\u202e"),
        ({"a": [1]}, '{"a": [1]}'),
    ],
)
def test_text(value: object, expected: str) -> None:
    assert text_of(value) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3725, "1:02:05")])
def test_duration(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB")],
)
def test_size(num_bytes: int, expected: str) -> None:
    assert size_text(num_bytes) == expected


def test_a_pipe_gets_whole_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["id", "name"], [("1", "x" * 300), (2, None)])
    assert capsys.readouterr().out.splitlines() == ["id\tname", "1\t" + "x" * 300, "2\t-"]


def test_a_pipe_gets_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["loss"], [(0.123456789012345,)])
    assert capsys.readouterr().out == "loss\n0.123456789012345\n"


def test_json_keeps_the_data_and_escapes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b[2J\x7f\x9b\u202eä\ud800\r"
    print_json({"name": name})
    shown = capsys.readouterr().out
    assert not UNSAFE.search(shown.rstrip("\n"))
    assert "ä" in shown
    assert json.loads(shown) == {"name": name}
