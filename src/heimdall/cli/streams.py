"""Standard input, output and errors that can be used, whatever the command was started with."""

import io
import os
import sys
from pathlib import Path


def open_streams() -> None:
    """Closed ones (`>&-`) lead nowhere; a character that the terminal does not know is written as an escape."""
    handle = os.open(os.devnull, os.O_RDWR)
    while handle < 3:  # the lowest free number is given, so this fills those that are closed
        handle = os.dup(handle)
    os.close(handle)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> io.TextIOWrapper:
    return Path(os.devnull).open("w", encoding="utf-8")
