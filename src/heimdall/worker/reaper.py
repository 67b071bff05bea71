"""Collects the children that a process inherits: as process 1 of a container, or as a subreaper."""

import ctypes
import os
import sys
from collections.abc import Collection

import psutil

from heimdall.worker.process_table import collect, has_status

PR_GET_CHILD_SUBREAPER = 37


class Reaper:
    """What a job's own children leave behind becomes a child of ours when the job ends, and a zombie when it ends."""

    def __init__(self) -> None:
        self._is_needed = inherits_children()
        self._seen: set[int] = set()

    def reap(self, known: Collection[int]) -> None:
        """Collect the zombies that were there at the last call too: whoever started a child of ours asks for its
        status at once. `known` are never taken.
        """
        if not self._is_needed:
            return
        children = {child.pid for child in psutil.Process().children()}
        zombies = {pid for pid in children.difference(known) if has_status(pid, psutil.STATUS_ZOMBIE)}
        for pid in zombies & self._seen:
            collect(pid)
        self._seen = zombies - self._seen


def inherits_children() -> bool:
    """Whether orphans below this process become its children."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    answer = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)
