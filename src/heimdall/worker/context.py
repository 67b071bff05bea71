"""The TrainingContext of a real job: what a trainer reports goes to the store and the artifacts."""

import copy
import logging
import math
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import PAUSE_CHECKPOINT, Artifact, ArtifactType, Outcome, StoredFile
from heimdall.domain.dataset import Dataset
from heimdall.domain.errors import ArtifactNotFoundError, CheckpointDamagedError, RequestChangedError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, Phase, Reason, Requested
from heimdall.domain.lifecycle import Action
from heimdall.domain.plain import plain_json, whole_number
from heimdall.domain.ports import Stores
from heimdall.domain.text import clean, cut
from heimdall.sdk.context import DatasetFolder, EpochReport
from heimdall.sdk.kept_config import read_config
from heimdall.sdk.registry import load_run
from heimdall.sdk.spec import TrainerSpec
from heimdall.sdk.stopping import StopTraining
from heimdall.worker.caches import build_once
from heimdall.worker.checkpoints import Checkpoints, newest_intact, non_finite_name
from heimdall.worker.datasets import JobDatasets, Making
from heimdall.worker.epoch_report import plain_report
from heimdall.worker.files import AttemptFiles
from heimdall.worker.heartbeat import Heartbeat
from heimdall.worker.point_log import PointLog
from heimdall.worker.ranks import Orders, Ranks
from heimdall.worker.stopping import StopFlag
from heimdall.worker.writer import Part, Writer

logger = logging.getLogger(__name__)

PHASES = frozenset(phase.value for phase in Phase)
MAX_WARNINGS = 100
MAX_TEXT_CHARS = 1000  # of a warning and of an architecture, which stand in every list of jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a context is made of."""

    job: Job
    token: str
    run: str  # the trainer, `module:function`
    config: Mapping[str, Any]
    threads: int
    stores: Stores
    artifacts: ArtifactStore
    files: AttemptFiles
    cache_dir: Path
    stop: StopFlag
    writer: Writer
    heartbeat: Heartbeat
    checkpoints: Checkpoints
    datasets: JobDatasets
    ranks: Ranks
    find_spec: Callable[[str], TrainerSpec]
    end: Callable[[Outcome], None]  # records the outcome and leaves the process; see `Attempt.end`


@dataclass(slots=True)
class Progress:
    """Shared by the context of a job and that of a dataset it makes on the way."""

    phase: str = Phase.STARTING.value
    warnings: set[str] = field(default_factory=set[str])
    next_message_at: float = 0.0
    num_files: int = 0
    loaded: StoredFile | None = None
    dataset: DatasetFolder | None = None
    architecture: str | None = None
    damaged: list[str] = field(default_factory=list[str])  # keys of checkpoints that were passed over


class WorkerContext:
    """See `heimdall.sdk.TrainingContext` for what each method promises."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = parts.stop
        self._writer = parts.writer
        self._config = parts.config
        self._making: Making | None = None
        self._is_detour = False  # makes a dataset on the way of a job that trains on it
        self._progress = Progress(warnings=set(parts.job.warnings))
        self._points = PointLog(parts.writer.rows, self.warn)

    @property
    def job_id(self) -> str:
        return self._parts.job.id

    @property
    def attempt(self) -> int:
        return self._parts.job.attempt

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def threads(self) -> int:
        return self._parts.threads

    @property
    def model_architecture(self) -> str | None:
        return self._parts.job.model_architecture

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self._parts.checkpoints.epoch

    def join_ranks(self, devices: int) -> int:
        return self._parts.ranks.join(devices, self._orders)

    def _orders(self) -> Orders:
        return Orders(
            run=self._parts.run,
            job_id=self.job_id,
            attempt=self.attempt,
            config=self.config,
            threads=self.threads,
            model_architecture=self.model_architecture or self._progress.architecture,
            dataset=self._progress.dataset,
            cache_dir=self._parts.cache_dir,
        )

    def raise_if_stopped(self) -> None:
        if self._writer.is_full:
            self._writer.wait_for_room()
        if self._stop.is_set:
            raise StopTraining

    def set_phase(self, phase: str) -> None:
        if self._is_detour or phase == self._progress.phase:
            return
        if phase not in PHASES:
            self.warn(f"There is no phase {cut(repr(phase), 40)}; a phase is one of {', '.join(sorted(PHASES))}.")
            return
        self._progress.phase = phase
        data = {"status": "running", "phase": phase, "attempt": self.attempt, "worker": self._parts.job.worker}
        self._writer.submit(Part(events=[NewEvent(EventName.PHASE, data)], summary={"phase": Phase(phase)}))

    def warn(self, message: str) -> None:
        warnings = self._progress.warnings
        message = _short_text(message)
        if message in warnings:
            return
        if len(warnings) > MAX_WARNINGS:  # each further one is a line of the log alone
            logger.warning("%s", message)
            return
        if len(warnings) == MAX_WARNINGS:
            logger.warning("%s", message)
            message = f"There were more than {MAX_WARNINGS} warnings; the log has the others."
        warnings.add(message)
        self._writer.submit(Part(summary={"warnings_add": [message]}))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._points.add(values, step)

    # Data

    def dataset(self) -> DatasetFolder:
        self.set_phase(Phase.PREPARING_DATA)
        datasets, job = self._parts.datasets, self._parts.job
        dataset = datasets.ready(self._make_default, self.raise_if_stopped)
        if job.dataset_id != dataset.id:
            self._writer.submit(Part(summary={"dataset_id": dataset.id}))
            self._writer.flush()  # from here on it cannot be deleted
        self._progress.dataset = datasets.folder(dataset.id)
        return self._progress.dataset

    def _make_default(self, dataset: Dataset, making: Making) -> None:
        detour = copy.copy(self)
        spec = self._parts.find_spec("synthetic")
        kept = read_config(spec.config_model, dataset.config)  # the row may be older than this release
        for line in kept.warnings:
            self.warn(line)
        detour._config = kept.values
        detour._is_detour = True
        with self._holding(making):
            detour._making = making
            try:
                load_run(spec)(detour)
            except BaseException:
                self._parts.datasets.give_up(making)
                raise

    @contextmanager
    def _holding(self, making: Making) -> Generator[None]:
        """Keep the dataset's lease alive beside the job's."""
        self._parts.heartbeat.also = lambda: self._parts.datasets.keep(making)
        try:
            yield
        finally:
            self._parts.heartbeat.also = None

    def publish_dataset(self, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]) -> None:
        self.raise_if_stopped()
        count, plain = whole_number("num_samples", num_samples), plain_json(quality)
        making = self._making or self._parts.datasets.own()
        with self._holding(making):
            self._parts.datasets.publish(making, folder, num_samples=count, sha256=sha256, quality=plain)

    def started(
        self, *, dataset_size: int, train_samples: int, val_samples: int, model_architecture: str | None
    ) -> None:
        given = {"dataset_size": dataset_size, "train_samples": train_samples, "val_samples": val_samples}
        sizes = {name: self._count(name, value) for name, value in given.items()}
        data = {"status": "running", "config": dict(self._config), **sizes, "attempt": self.attempt}
        architecture = None if model_architecture is None else _short_text(model_architecture)
        self._progress.architecture = architecture
        summary = {**sizes, "model_architecture": self.model_architecture or architecture}
        self._writer.submit(Part(events=[NewEvent(EventName.STARTED, data)], summary=summary))

    def _count(self, name: str, value: Any) -> int:
        try:
            return whole_number(name, value)
        except (TypeError, ValueError) as error:
            self.warn(f"0 is shown in its place: {error}")
            return 0

    # Epochs

    def checkpoint_to_load(self) -> Path | None:
        job = self._parts.job
        if job.pause_checkpoint_path is not None:
            return self._pause_checkpoint()
        saved, damaged = newest_intact(self._parts.stores.attempts.checkpoints(job.id), self._parts.artifacts)
        for bad in damaged:
            going_on = f"training goes on after epoch {saved.epoch}" if saved else "training starts again"
            self.warn(f"The checkpoint of epoch {bad.epoch} is damaged; {going_on}.")
        self._progress.damaged = [bad.file.key for bad in damaged]
        if saved is None:
            if job.attempt > 1:  # what earlier attempts logged is abandoned
                self.took_over(epoch=0, step=0)
            return None
        self._progress.loaded = saved.file
        return self._parts.artifacts.fetch(saved.file)

    def _pause_checkpoint(self) -> Path:
        try:
            artifact = self._parts.stores.history.artifact(self.job_id, PAUSE_CHECKPOINT)
            return self._parts.artifacts.fetch(artifact.file)
        except (ArtifactNotFoundError, CheckpointDamagedError) as error:
            self._stop.see(self._parts.stores.attempts.requested(self.job_id, self._parts.token))
            while self._stop.requested is not Requested.CANCEL:
                outcome = Outcome(
                    action=Action.PAUSED,
                    reason=Reason.CHECKPOINT_DAMAGED,
                    error_message="The pause checkpoint is missing or damaged; resume from the last good one.",
                    seen=self._stop.requested,
                )
                self._end(outcome)  # again when a pause is asked for meanwhile
            raise StopTraining from error

    def took_over(self, *, epoch: int, step: int) -> None:
        parts = self._parts
        epoch, step = whole_number("epoch", epoch), whole_number("step", step)
        parts.writer.flush()
        parts.stores.attempts.took_over(self.job_id, parts.token, from_epoch=epoch, from_step=step)
        if self._progress.damaged:  # superseded now, even should they turn out readable again
            parts.stores.attempts.retire_checkpoints(self.job_id, parts.token, self._progress.damaged)
        parts.checkpoints.begin_at(epoch, self._progress.loaded)
        parts.checkpoints.sweep()

    def finish_epoch(self, report: EpochReport) -> None:
        self._stop_on_failure()
        report = plain_report(report, self.warn)
        self._warn_of_non_finite(report)
        with suppress(OSError):  # only makes the message after a crash more exact
            self._parts.files.epoch.write_text(str(report.epoch), "ascii")
        self._parts.checkpoints.save(report)

    def _warn_of_non_finite(self, report: EpochReport) -> None:
        """Once for each metric of the job."""
        for name, value in report.metrics.items():
            known = f"The metric '{name}' became "
            if value is None or math.isfinite(value) or any(line.startswith(known) for line in self._progress.warnings):
                continue
            self.warn(f"{known}{non_finite_name(value)} in epoch {report.epoch}.")

    def pause_point(self) -> None:
        self._parts.heartbeat.poll()
        self.raise_if_stopped()
        if self._stop.requested is not Requested.PAUSE:
            return
        artifact = self._parts.checkpoints.copy_for_pause()
        if artifact is not None:
            self._end(Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=artifact))
        self.raise_if_stopped()

    def _end(self, outcome: Outcome) -> None:
        """Leaves the process; comes back only when the user changed the request meanwhile."""
        try:
            self._parts.end(outcome)
        except RequestChangedError:
            self._stop.see(self._parts.stores.attempts.requested(self.job_id, self._parts.token))

    def drain(self) -> None:
        self._parts.checkpoints.finish()
        self._writer.flush()

    def _stop_on_failure(self) -> None:
        if self._stop.failure is not None:
            raise self._stop.failure

    def progress(self, current: int, total: int, message: str) -> None:
        current, total = self._count("current", current), self._count("total", total)
        now = time.monotonic()
        if now < self._progress.next_message_at and current < total:
            return
        self._progress.next_message_at = now + 1.0
        percent = min(100.0, round(100.0 * current / max(1, total), 2))
        data = {"current": current, "total": total, "progress_percent": percent, "message": message}
        # That of a job which trains counts its epochs, whatever is prepared before them.
        summary = {} if self._is_detour or self._parts.job.total_epochs else {"progress_percent": percent}
        self._writer.submit(Part(events=[NewEvent(EventName.GENERATION_PROGRESS, data)], summary=summary))

    # Files

    def save_artifact(self, name: str, artifact_type: str, write: Callable[[BinaryIO], None]) -> None:
        self._progress.num_files += 1
        name, kind = clean(name), ArtifactType.of(artifact_type)
        key = f"{self.job_id}/a{self.attempt}/f{self._progress.num_files}/{name}"
        file = self._parts.artifacts.put(key, write)
        artifact = Artifact(name=name, file=file, artifact_type=kind)
        self._parts.checkpoints.name(name, file)
        self._writer.submit(Part(artifacts={name: artifact}))

    def best_checkpoint(self) -> Path | None:
        try:
            return self._parts.checkpoints.best()
        except CheckpointDamagedError:
            self.warn("The best checkpoint is damaged; the model of the last epoch is used in its place.")
            return None

    def scratch(self) -> Path:
        folder = self._parts.files.scratch / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def cache(self, key: str, build: Callable[[Path], None]) -> Path:
        return build_once(self._parts.cache_dir, key, build)


def _short_text(value: object) -> str:
    return cut(str(plain_json(value)), MAX_TEXT_CHARS)
