"""Questions to this machine's process table, and signals to what is in it."""

import os
import select
import signal
import time

import psutil

from heimdall.worker.verdict import signal_name


def start_time(pid: int) -> float:
    """When the process started, in seconds since the epoch; now when that cannot be read (it is gone already)."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, OSError):  # OSError: no descriptor is left to read it with
        return time.time()


def is_same_process(pid: int, started: float, title: str) -> bool:
    """Whether `pid` is still the process that was recorded, not a later one with its number.

    The title settles it when the machine's clock was set since (start times are then off).
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - started) < 1.0 or title in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def has_status(pid: int, status: str) -> bool:
    """Whether the process is in this state (a `psutil.STATUS_…`); False when that cannot be read."""
    try:
        return psutil.Process(pid).status() == status
    except (psutil.Error, OSError):
        return False


def wait_until_gone(pid: int) -> None:
    """Block until the process has ended, whoever its parent is. Raises: OSError when no descriptor is left."""
    if not hasattr(os, "pidfd_open"):
        try:
            psutil.Process(pid).wait()
        except psutil.NoSuchProcess:
            return
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()  # select() takes no descriptor above 1023
        ended.register(descriptor, select.POLLIN)
        ended.poll()
    finally:
        os.close(descriptor)


def collect(pid: int) -> int | None:
    """The raw wait status of a process that has ended, when it had become a child of ours: as process 1 of a container
    inherits children. None when it is nobody's that we may ask for."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if ended else None


def send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def describe_code(code: int) -> str:
    """A `Popen.returncode` in words."""
    return signal_name(-code) if code < 0 else f"exit code {code}"
