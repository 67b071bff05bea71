"""Giving the disk back the beginning of a file that others append to."""

import ctypes
from pathlib import Path

KEEP_SIZE, PUNCH_HOLE = 1, 2  # of Linux's fallocate(2)


def free_range(path: Path, start: int, end: int) -> bool:
    """Make [start, end) a hole that takes no room. False where the system or the file system knows none."""
    fallocate = getattr(ctypes.CDLL(None), "fallocate", None)
    if fallocate is None:
        return False
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    try:
        with path.open("r+b") as file:
            return fallocate(file.fileno(), PUNCH_HOLE | KEEP_SIZE, start, end - start) == 0
    except OSError:
        return False
