"""Job processes that a slots loop left running when it was killed."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from heimdall.worker.files import attempt_of

TITLE = "heimdall run-job "
GONE = " (deleted)"


@dataclass(frozen=True, slots=True)
class Orphan:
    """A job's first process, which leads its session. `started` as psutil's create_time."""

    pid: int
    started: float
    job_id: str
    attempt: int


def job_title(job_id: str) -> str:
    return f"{TITLE}{job_id}"


def find_orphans(data_dir: Path) -> list[Orphan]:
    """Every job process that writes its output into this data folder (absolute).

    The process itself says where it writes: a copied folder names the same jobs and process ids, and they are not its.
    """
    found: list[Orphan] = []
    for process in psutil.process_iter():
        try:
            if not " ".join(process.cmdline()).startswith(TITLE) or os.getsid(process.pid) != process.pid:
                continue
            output = _output_of(process)
            if output is not None and output.parent == data_dir / "attempts":
                job_id, attempt = attempt_of(output)
                found.append(Orphan(process.pid, process.create_time(), job_id, attempt))
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue  # it has just ended, or belongs to somebody else
    return found


def _output_of(process: psutil.Process) -> Path | None:
    """Where its standard output goes, also when that file has been removed; None when that is no file."""
    descriptor = Path(f"/proc/{process.pid}/fd/1")
    if descriptor.is_symlink():
        return Path(str(descriptor.readlink()).removesuffix(GONE))
    return next((Path(file.path) for file in process.open_files() if file.path.endswith(".out")), None)
