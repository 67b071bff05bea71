"""Plays the part of a worker on the real AttemptStore: claims a job, reports epochs, ends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import (
    Artifact,
    ArtifactType,
    Batch,
    Checkpoint,
    EpochRow,
    Outcome,
    SeriesPoints,
    StoredFile,
    WorkerInfo,
)
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, Reason, Requested
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import AttemptStore

INFO = WorkerInfo(name="bench", host="testhost", slots=4)


@dataclass(slots=True)
class Run:
    """One attempt: the lease and the number of the newest batch."""

    attempts: AttemptStore
    artifacts: LocalArtifacts
    job: Job
    number: int = 0
    epoch: int = 0

    @property
    def token(self) -> str:
        assert self.job.lease_token is not None
        return self.job.lease_token

    def write(self, **fields: Any) -> None:
        self.number += 1
        self.attempts.write(self.job.id, self.token, Batch(number=self.number, **fields))

    def start(self) -> None:
        event = NewEvent(EventName.STARTED, {"status": "running", "config": self.job.config, "dataset_size": 100})
        summary = {"phase": "training", "dataset_size": 100, "train_samples": 80, "val_samples": 20}
        self.write(events=[event], summary=summary)

    def put(self, name: str, content: bytes) -> StoredFile:
        key = f"{self.job.id}/a{self.job.attempt}/e{self.epoch}/{name}"

        def write(file: BinaryIO) -> None:
            file.write(content)

        return self.artifacts.put(key, write)

    def finish_epoch(self, *, val_loss: float = 0.5, is_best: bool = True, **extra: float | None) -> None:
        """A checkpoint, its epoch's row and the events, in one batch."""
        self.epoch += 1
        metrics: dict[str, float | None] = {"train_loss": 1.0 / self.epoch, "val_loss": val_loss, **extra}
        file = self.put("best_model.pth", f"weights of epoch {self.epoch}".encode())
        name = "checkpoints/best_model.pth"
        progress = {
            "epoch": self.epoch,
            "total_epochs": self.job.total_epochs,
            "progress_percent": 100.0 * self.epoch / self.job.total_epochs,
            "metrics": metrics,
            "is_best": is_best,
        }
        checkpoint = Checkpoint(
            attempt=self.job.attempt, epoch=self.epoch, step=10 * self.epoch, file=file, val_loss=val_loss
        )
        self.write(
            events=[NewEvent(EventName.CHECKPOINT, {"name": name}), NewEvent(EventName.PROGRESS, progress)],
            summary={
                "current_epoch": self.epoch,
                "metrics": metrics,
                "best_epoch": self.epoch,
                "best_val_loss": val_loss,
                "train_loss": metrics["train_loss"],
                "val_loss": val_loss,
                "checkpoint_path": name,
            },
            epoch_rows=[EpochRow(epoch=self.epoch, metrics=metrics, duration_seconds=0.1, timestamp=datetime.now(UTC))],
            checkpoint=checkpoint,
            artifacts={name: Artifact(name=name, file=file, artifact_type=ArtifactType.CHECKPOINT)},
        )

    def log(self, *texts: str, level: str = "INFO") -> None:
        time = datetime.now(UTC).isoformat()
        lines = [{"time": time, "level": level, "message": text} for text in texts]
        self.write(events=[NewEvent(EventName.LOG, {"lines": lines})])

    def save(self, name: str, content: bytes, artifact_type: ArtifactType = ArtifactType.OTHER) -> None:
        artifact = Artifact(name=name, file=self.put(name, content), artifact_type=artifact_type)
        self.write(artifacts={name: artifact})

    def points(self, name: str, values: Mapping[int, float | None]) -> None:
        self.write(points=[SeriesPoints(name, [(step, 1.7e9 + step, value) for step, value in values.items()])])

    def flood(self, num_events: int, size: int, *, at_once: int = 100) -> None:
        """Many events of `size` characters each."""
        event = NewEvent(EventName.METRICS, {"series": "x" * size})
        for _ in range(num_events // at_once):
            self.write(events=[event] * at_once)

    def finish(self) -> Job:
        return self._end(Outcome(action=Action.FINISH, reason=Reason.FINISHED))

    def fail(self, message: str) -> Job:
        return self._end(Outcome(action=Action.FAIL, reason=Reason.ERROR, error_message=message))

    def cancelled(self) -> Job:
        return self._end(Outcome(action=Action.CANCELLED, seen=Requested.CANCEL))

    def pause(self) -> Job:
        file = self.put("pause_checkpoint.pth", b"everything")
        name = "checkpoints/pause_checkpoint.pth"
        artifact = Artifact(name=name, file=file, artifact_type=ArtifactType.CHECKPOINT)
        return self._end(Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=artifact))

    def _end(self, outcome: Outcome) -> Job:
        return self.attempts.end(self.job.id, self.token, outcome)


class Worker:
    def __init__(self, attempts: AttemptStore, artifacts: LocalArtifacts) -> None:
        self._attempts = attempts
        self._artifacts = artifacts

    def announce(self) -> None:
        self._attempts.announce(INFO)

    def claim(self) -> Run:
        """The best queued job."""
        job = self._attempts.claim(INFO, free_gpus=0)
        assert job is not None, "no job is queued"
        return Run(self._attempts, self._artifacts, job, epoch=job.current_epoch)

    def claim_job(self, job_id: str) -> Run:
        """A certain queued job. Raises: AssertionError."""
        job = self._attempts.claim(INFO, free_gpus=0, job_id=job_id)
        assert job is not None, "the job is not queued"
        return Run(self._attempts, self._artifacts, job, epoch=job.current_epoch)
