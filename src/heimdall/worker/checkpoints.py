"""Saves epochs: the file first, then one transaction that makes it count, then what it replaces goes."""

import errno
import math
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    PAUSE_CHECKPOINT,
    PREVIOUS_CHECKPOINT,
    Artifact,
    ArtifactType,
    Checkpoint,
    CheckpointKind,
    EpochRow,
    StoredFile,
)
from heimdall.domain.errors import CheckpointDamagedError, HeimdallError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job
from heimdall.domain.plain import plain_json
from heimdall.domain.ports import Stores
from heimdall.jobs.deletions import remove_keys
from heimdall.sdk.context import EpochReport
from heimdall.worker.chain import chain_of
from heimdall.worker.writer import Part, Writer

SUMMARY_METRICS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")


class DiskFullError(HeimdallError):
    """There is no room for the next checkpoint."""

    code = "disk_full"


class Checkpoints:
    """The files of one job's epochs, as this attempt knows them. At most one save is in flight."""

    def __init__(self, job: Job, token: str, stores: Stores, artifacts: ArtifactStore, writer: Writer) -> None:
        self._job = job
        self._token = token
        self._stores = stores
        self._artifacts = artifacts
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._in_flight: Future[None] | None = None
        self._lock = threading.Lock()
        self._named = {artifact.name: artifact.file for artifact in stores.history.artifacts(job.id)}
        self._kept = {saved.file.key for saved in stores.attempts.checkpoints(job.id) if not saved.is_deleted}
        self._newest: StoredFile | None = None  # of the epoch that training stands on
        self._pause_copies: list[str] = []  # made for pauses that were taken back
        self._epoch_began = time.monotonic()
        self._durations: list[float] = []
        self.epoch = 0

    def begin_at(self, epoch: int, file: StoredFile | None) -> None:
        """Training goes on after `epoch`, whose state is in `file`."""
        self.epoch = epoch
        pause_copy = self._named.pop(PAUSE_CHECKPOINT, None)
        if epoch:
            self._newest = file or self._named.get(LAST_CHECKPOINT)
        if pause_copy is not None and pause_copy.key not in self._used_keys():
            remove_keys(self._artifacts, [pause_copy.key])  # its name went when it was loaded
        self._epoch_began = time.monotonic()

    def name(self, name: str, file: StoredFile) -> None:
        """An artifact that is not a checkpoint got its row."""
        with self._lock:
            self._named[name] = file

    def save(self, report: EpochReport) -> None:
        """Start saving. Waits for the save before; raises what that one raised."""
        self.wait()
        now = time.monotonic()
        duration, self._epoch_began = now - self._epoch_began, now
        self._durations = [*self._durations[-9:], duration]
        self.epoch = report.epoch
        self._in_flight = self._pool.submit(self._save, report, duration, datetime.now(UTC))

    def wait(self, timeout: float | None = None) -> None:
        """Until the save in flight is stored. Raises: what it raised, TimeoutError."""
        if self._in_flight is not None:
            self._in_flight.result(timeout)
            self._in_flight = None

    def finish(self) -> None:
        """Until everything is saved, and what it replaced is gone."""
        self.wait()
        self._retire()

    def best(self) -> Path | None:
        self.wait()
        file = self._named.get(BEST_CHECKPOINT)
        return None if file is None else self._artifacts.fetch(file)

    def copy_for_pause(self) -> Artifact | None:
        """A copy of the newest epoch's file that retention never touches; None before the first."""
        self.wait()
        if self._newest is None:
            return None
        key = f"{self._job.id}/a{self._job.attempt}/e{self.epoch}/pause_checkpoint.pth"
        if self._artifacts.size(key) is not None:  # a pause at this epoch was asked for and taken back before
            remove_keys(self._artifacts, [key])
        file = self._artifacts.put_file(key, self._artifacts.fetch(self._newest))
        self._pause_copies.append(key)
        return Artifact(name=PAUSE_CHECKPOINT, file=file, artifact_type=ArtifactType.CHECKPOINT)

    def sweep(self) -> None:
        """Remove what earlier attempts wrote and nothing names, and what they left half written."""
        used = self._used_keys()
        for number in range(1, self._job.attempt):
            prefix = f"{self._job.id}/a{number}"
            self._artifacts.remove_partials(prefix)
            remove_keys(self._artifacts, [key for key in self._artifacts.keys(prefix) if key not in used])

    def _used_keys(self) -> set[str]:
        return {file.key for file in self._named.values()} | self._kept

    def _save(self, report: EpochReport, duration: float, timestamp: datetime) -> None:
        key = f"{self._job.id}/a{self._job.attempt}/e{report.epoch}/last.pth"
        try:
            file = self._artifacts.put(key, report.write_checkpoint)
        except (OSError, RuntimeError) as error:
            if not is_disk_full(error):
                raise
            raise DiskFullError(
                f"The disk is full: the checkpoint of epoch {report.epoch} could not be saved. Free some space and "
                "retry the job; it goes on from its last good checkpoint."
            ) from error
        names = self._names(report, file)
        metrics, non_finite = finite_metrics(report.metrics)
        row = EpochRow(
            epoch=report.epoch,
            metrics=metrics,
            duration_seconds=duration,
            timestamp=timestamp,
            non_finite=non_finite,
        )
        checkpoint = Checkpoint(
            attempt=self._job.attempt,
            epoch=report.epoch,
            step=report.step,
            file=file,
            val_loss=metrics.get("val_loss"),
            manifest=plain_json(report.manifest),
        )
        part = Part(
            checkpoint=checkpoint,
            epoch_row=row,
            events=self._events(report, checkpoint, row),
            summary=self._summary(report, row),
            artifacts={
                name: Artifact(name=name, file=named, artifact_type=ArtifactType.CHECKPOINT)
                for name, named in names.items()
            },
        )
        self._writer.wait_for(self._writer.submit(part))
        with self._lock:
            self._named |= names
            self._kept.add(file.key)
            self._newest = file
        self._retire()

    def _names(self, report: EpochReport, file: StoredFile) -> dict[str, StoredFile]:
        names = {LAST_CHECKPOINT: file}
        if self._newest is not None:
            names[PREVIOUS_CHECKPOINT] = self._newest
        if report.is_best:
            names[BEST_CHECKPOINT] = file
        if report.keep:
            names[f"checkpoints/epoch_{report.epoch:04d}.pth"] = file
        return names

    def _retire(self) -> None:
        """Delete the files that no name points to any more: rows first, so that no row promises a missing file.

        What cannot be deleted now is tried again after the next epoch.
        """
        with self._lock:
            victims = sorted(self._kept - {file.key for file in self._named.values()})
        if victims:
            self._stores.attempts.retire_checkpoints(self._job.id, self._token, victims)
            if remove_keys(self._artifacts, victims):
                self._kept.difference_update(victims)
        if self._pause_copies and remove_keys(self._artifacts, self._pause_copies):
            self._pause_copies = []

    def _events(self, report: EpochReport, checkpoint: Checkpoint, row: EpochRow) -> list[NewEvent]:
        saved = {
            "name": LAST_CHECKPOINT,
            "kind": CheckpointKind.LAST.value,
            "epoch": report.epoch,
            "val_loss": checkpoint.val_loss,
            "size_bytes": checkpoint.file.size_bytes,
            "sha256": checkpoint.file.sha256,
            "is_best": report.is_best,
        }
        progress: dict[str, Any] = {
            "epoch": report.epoch,
            "total_epochs": self._job.total_epochs,
            "progress_percent": self._percent(report.epoch),
            "metrics": row.metrics,
        }
        if row.non_finite:
            progress["non_finite"] = row.non_finite
        if report.is_last:
            progress["is_last"] = True
        events = [
            NewEvent(EventName.CHECKPOINT, saved),
            NewEvent(EventName.PROGRESS, {**progress, "is_best": False}),
        ]
        if report.is_best:
            events.append(NewEvent(EventName.PROGRESS, {**progress, "is_best": True}))
        return events

    def _summary(self, report: EpochReport, row: EpochRow) -> dict[str, Any]:
        left = max(0, self._job.total_epochs - report.epoch)
        summary: dict[str, Any] = {
            "current_epoch": report.epoch,
            "progress_percent": self._percent(report.epoch),
            "eta_seconds": round(left * sum(self._durations) / len(self._durations), 1),
            "metrics": row.metrics,
            "non_finite": row.non_finite,
            "best_epoch": report.best_epoch,
            "best_val_loss": finite_or_none(report.best_value),
        }
        summary |= {name: row.metrics[name] for name in SUMMARY_METRICS if name in row.metrics}
        if report.is_best:
            summary["checkpoint_path"] = BEST_CHECKPOINT
        return summary

    def _percent(self, epoch: int) -> float:
        return round(100.0 * epoch / max(1, self._job.total_epochs), 2)


def newest_intact(
    checkpoints: list[Checkpoint], artifacts: ArtifactStore
) -> tuple[Checkpoint | None, list[Checkpoint]]:
    """The first whose file matches its checksum, and the damaged ones before it."""
    damaged: list[Checkpoint] = []
    for saved in (saved for saved in checkpoints if not saved.is_deleted):
        try:
            artifacts.fetch(saved.file)
        except CheckpointDamagedError:
            damaged.append(saved)
        else:
            return saved, damaged
    return None, damaged


def is_disk_full(error: BaseException) -> bool:
    """Whether want of space is behind it: torch hides the system's error behind one of its own."""
    return any(isinstance(seen, OSError) and seen.errno in {errno.ENOSPC, errno.EDQUOT} for seen in chain_of(error))


def finite_metrics(values: Mapping[str, float | None]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Finite numbers or None; and what those that were not finite were."""
    metrics = {name: finite_or_none(value) for name, value in values.items()}
    non_finite = {
        name: non_finite_name(value) for name, value in values.items() if value is not None and not math.isfinite(value)
    }
    return metrics, non_finite


def finite_or_none(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def non_finite_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
