"""Where an attempt's working files lie on this machine."""

import json
import shutil
from pathlib import Path
from typing import Any

from heimdall.artifacts.copies import size_bytes


class AttemptFiles:
    """`{data_dir}/attempts/{job_id}-{attempt}.…`"""

    def __init__(self, data_dir: Path, job_id: str, attempt: int) -> None:
        stem = data_dir / "attempts" / f"{job_id}-{attempt}"
        self.output = stem.with_name(f"{stem.name}.out")  # what the process prints
        self.mark = stem.with_name(f"{stem.name}.mark")  # how much of it is stored as log lines
        self.epoch = stem.with_name(f"{stem.name}.epoch")  # the newest epoch trained, saved or not
        self.note = stem.with_name(f"{stem.name}.json")  # what a later slots loop must know
        self.spool = stem.with_name(f"{stem.name}.spool")  # batches that wait for the database
        self.scratch = stem.with_name(f"{stem.name}.scratch")

    def begin(self, devices: list[str], database: str) -> None:
        """`database` names the one that has the job. Raises: OSError, such as for a full disk."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(json.dumps({"devices": devices, "database": database}), "utf-8")

    def noted_devices(self) -> list[str]:
        return self._noted("devices", [])

    def is_for(self, database: str) -> bool:
        """Whether the attempt is one of that database (older releases did not note it)."""
        return self._noted("database", database) == database

    def _noted(self, name: str, default: Any) -> Any:
        try:
            return json.loads(self.note.read_text("utf-8")).get(name, default)
        except (FileNotFoundError, ValueError, AttributeError):
            return default

    def noted_epoch(self) -> int:
        try:
            return int(self.epoch.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return 0

    def remove(self) -> None:
        for file in self._files():
            file.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def size_bytes(self) -> int:
        return sum(size_bytes(path) for path in (*self._files(), self.scratch))

    def _files(self) -> tuple[Path, ...]:
        return self.output, self.mark, self.epoch, self.note, self.spool


def attempt_of(path: Path) -> tuple[str, int]:
    """The job and attempt that a file of this folder belongs to; ("", 0) for a stranger's."""
    job_id, _, number = path.name.partition(".")[0].rpartition("-")
    return (job_id, int(number)) if number.isdigit() else ("", 0)
