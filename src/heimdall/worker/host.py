"""Where a process number means the same process."""

import hashlib
import socket
from contextlib import suppress
from pathlib import Path


def this_host() -> str:
    """The machine's name and a mark of its process table.

    Containers on their host's network, or cloned machines, have equal names and must not judge each other's processes.
    """
    table = ""
    with suppress(OSError):  # not on Linux
        table += str(Path("/proc/self/ns/pid").stat().st_ino)
    with suppress(OSError):
        table += Path("/etc/machine-id").read_text("ascii")
    return f"{socket.gethostname()}/{hashlib.sha256(table.encode()).hexdigest()[:6]}"
