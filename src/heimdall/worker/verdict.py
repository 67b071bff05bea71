"""What the end of a process that recorded no result means for its job."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from heimdall.domain.job import Reason

STOPPED_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_lost`: the job may go on elsewhere. Otherwise it failed with `reason` and `message`."""

    is_lost: bool
    reason: Reason
    message: str


def judge(status: int | None, *, epoch: int | None, is_memory_exhausted: bool) -> Verdict:
    """`status` is the raw wait status, None when nobody could collect it (the server died meanwhile)."""
    when = f" in epoch {epoch}" if epoch else ""
    if status is None:
        return Verdict(True, Reason.WORKER_LOST, "the job's process is gone")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and is_memory_exhausted:
            message = "The machine ran out of memory and ended the job; use a smaller batch size or model."
            return Verdict(False, Reason.OUT_OF_MEMORY, message)
        if number in STOPPED_FROM_OUTSIDE:
            return Verdict(True, Reason.WORKER_LOST, f"the job's process was ended by {signal_name(number)}")
        return Verdict(False, Reason.CRASHED, f"trainer ended with {signal_name(number)}{when}")
    return Verdict(False, Reason.CRASHED, f"trainer exited with code {os.WEXITSTATUS(status)}{when}")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class MemoryKills:
    """Whether the kernel has ended something for lack of memory lately: its counter, or that of a process's cgroup."""

    def __init__(self, pid: int) -> None:
        self._files = [Path("/proc/vmstat"), *_cgroup_files(pid)]
        self._before = self._recent = self._count()

    def refresh(self) -> None:
        """Forget what rose before the last call: one between a kill and its verdict must not hide the kill."""
        self._before, self._recent = self._recent, self._count()

    def have_risen(self) -> bool:
        return any(now > before for now, before in zip(self._count(), self._before, strict=True))

    def _count(self) -> list[int]:
        return [_oom_kills(file) for file in self._files]


def _cgroup_files(pid: int) -> list[Path]:
    """The counters of a process's memory cgroup, version 2 (`0::/path`) and version 1 (`n:memory:/path`)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    mount = Path("/sys/fs/cgroup")
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        folder = path.lstrip("/")
        if not controllers:
            found += [mount / folder / "memory.events", mount / "unified" / folder / "memory.events"]
        elif "memory" in controllers.split(","):
            found.append(mount / "memory" / folder / "memory.oom_control")
    return found


def _oom_kills(file: Path) -> int:
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
