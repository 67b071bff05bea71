"""A terminal of a given width: a command runs at it, and what a person would see on it can be read at any moment."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

CODE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Screen:
    """Understands what Rich and a shell's tools write: ends of lines, colours, moves up, erased lines."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        return ["".join(line).rstrip() for line in self._lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def write(self, text: str) -> None:
        position = 0
        while position < len(text):
            code = CODE.match(text, position)
            if code:
                self._obey(code[1], code[2])
                position = code.end()
                continue
            self._put(text[position])
            position += 1

    def _obey(self, values: str, letter: str) -> None:
        if letter == "A":
            self._row = max(0, self._row - int(values or 1))
        elif letter == "K":
            kept = {"2": 0, "": self._column, "0": self._column}[values]
            del self._lines[self._row][kept:]
        else:
            assert letter in "mhl", f"the screen does not know {values}{letter}"

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
            return
        if character == "\n" or self._column == self.columns:  # a full line goes on in the next one
            self._row, self._column = self._row + 1, 0
            self._lines += [[]] * (self._row == len(self._lines))
        if character == "\n":
            return
        assert character >= " ", repr(character)
        line = self._lines[self._row]
        line += " " * (self._column + 1 - len(line))
        line[self._column] = character
        self._column += 1


class AtTerminal:
    """A command whose input, output and errors are one terminal."""

    def __init__(self, words: Sequence[str | Path], columns: int, *, environment: Mapping[str, str] | None = None):
        self.screen = Screen(columns)
        self.shown = b""
        self._unread = b""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**kept, "TERM": "xterm", **(environment or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, reached: Callable[[Screen], bool], *, seconds: float = 90) -> Screen:
        """The screen once `reached` is true of it."""
        deadline = time.monotonic() + seconds
        while not reached(self.screen):
            assert time.monotonic() < deadline, self.screen.text
            assert self._read_some(), f"the command ended:\n{self.screen.text}"
        return self.screen

    def read_to_end(self, *, seconds: float = 90) -> int:
        """The exit code."""
        deadline = time.monotonic() + seconds
        while self._read_some():
            assert time.monotonic() < deadline, self.screen.text
        return self.process.wait(timeout=20)

    def _read_some(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return True
        try:
            part = os.read(self._ours, 65536)
        except OSError:  # how a terminal says that its last process is gone
            return False
        self.shown += part
        self._unread += part
        if _is_whole(self._unread):
            self.screen.write(self._unread.decode())
            self._unread = b""
        return True


def _is_whole(part: bytes) -> bool:
    """Whether a part of the output ends neither within a character nor within a code."""
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return not re.search(rb"\x1b(\[[0-9;?]*)?$", part)
