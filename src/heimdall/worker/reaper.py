"""Collects the children that a process inherits: as process 1 of a container, or as a subreaper."""

import ctypes
import os
import sys
from collections.abc import Collection
from contextlib import suppress

import psutil

from heimdall.worker.process_table import collect, has_status

PR_GET_CHILD_SUBREAPER = 37


class Reaper:
    """What a job's own children leave behind becomes a child of ours when the job ends, and a zombie when it ends."""

    def __init__(self) -> None:
        self._is_needed = inherits_children()
        self._seen: set[int] = set()

    def reap(self, known: Collection[int]) -> None:
        """Collect zombies of other sessions at once: they are what jobs left. Others, which a library may have started,
        only when nobody has asked for their status until the next call. `known` are never taken.
        """
        if not self._is_needed:
            return
        try:
            children = [child.pid for child in psutil.Process().children()]
        except (psutil.Error, OSError):  # no descriptor is left; the next call may have one
            return
        zombies = {pid for pid in children if pid not in known and has_status(pid, psutil.STATUS_ZOMBIE)}
        for pid in zombies:
            with suppress(ProcessLookupError):  # whoever started it was faster
                if pid in self._seen or os.getsid(pid) not in {pid, os.getsid(0)}:
                    collect(pid)
        self._seen = zombies


def inherits_children() -> bool:
    """Whether orphans below this process become its children."""
    if os.getpid() == 1:
        return True
    if sys.platform != "linux":
        return False
    answer = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)
