"""Entries for tests of the fork server."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any


def tell(payload: dict[str, Any]) -> None:
    seed = os.environ["PYTHONHASHSEED"]
    print(payload["word"], os.environ["SECRET"], seed, " ".join(sys.argv))  # noqa: T201


def leave(payload: dict[str, Any]) -> None:
    os._exit(payload["code"])


def die(payload: dict[str, Any]) -> None:
    os.abort()


def leave_a_child(payload: dict[str, Any]) -> None:
    child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print(child.pid)  # noqa: T201
    os._exit(0)


def wait_for_file(payload: dict[str, Any]) -> None:
    calm = Event()
    while not Path(payload["path"]).exists():
        calm.wait(0.01)


def speak(payload: dict[str, str]) -> None:
    print("grün caf\udce9", sys.flags.utf8_mode)  # noqa: T201
