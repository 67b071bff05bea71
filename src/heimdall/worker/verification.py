"""Proves an epoch: runs it again from the checkpoint before it and compares what comes out, bit for bit."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import Checkpoint
from heimdall.domain.errors import ArtifactNotFoundError, CheckpointDamagedError, ConflictError, InvalidConfigError
from heimdall.domain.job import Job
from heimdall.domain.ports import Stores
from heimdall.sdk.context import DatasetFolder, EpochReport
from heimdall.sdk.kept_config import read_config
from heimdall.sdk.registry import load_run, spec_of
from heimdall.sdk.stopping import StopTraining
from heimdall.trainers.comparison import first_difference, first_different_part
from heimdall.worker.caches import build_once
from heimdall.worker.datasets import fixed_unapproved
from heimdall.worker.ranks import Orders, Ranks, die_loudly


@dataclass(frozen=True, slots=True)
class Verdict:
    """`difference` names the first tensor (or part) that differs; None: identical. `epoch` was run again."""

    epoch: int
    difference: str | None
    warnings: list[str]

    def __str__(self) -> str:
        result = "identical" if self.difference is None else f"differs in {self.difference}"
        return f"epoch {self.epoch}: {result}"


def verify(
    job: Job, stores: Stores, artifacts: ArtifactStore, *, cache: Path, after_epoch: int | None = None
) -> Verdict:
    """Run the epoch after the checkpoint of `after_epoch` again (0: from the start; default: the newest possible).

    Raises:
        ConflictError: the job has not the checkpoints for it.
        CheckpointDamagedError: the checkpoint to start from is damaged.
    """
    start, recorded = choose(stores.attempts.checkpoints(job.id), after_epoch)
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(job.kind)
        kept = read_config(spec.config_model, job.config)
        context = VerifyContext(job, kept.values, stores, artifacts, start=start, cache_dir=cache, folder=Path(folder))
        context.warnings.extend(kept.warnings)
        with suppress(StopTraining), closing(context.ranks):
            load_run(spec)(context)
        if context.saved is None:
            raise ConflictError(f"The trainer did not run epoch {recorded.epoch} again: training ended before it.")
        return Verdict(recorded.epoch, _difference(context, recorded), context.warnings)


def choose(saved: list[Checkpoint], after_epoch: int | None) -> tuple[Checkpoint | None, Checkpoint]:
    """A checkpoint whose file is kept (None: the start), and the one recorded after it on the same line of training.

    `saved` is newest first. An epoch that several attempts saved counts as the newest one did.
    """
    line: dict[int, Checkpoint] = {}
    for checkpoint in saved:
        line.setdefault(checkpoint.epoch, checkpoint)
    kept = sorted((epoch for epoch, checkpoint in line.items() if not checkpoint.is_deleted), reverse=True)
    possible = [epoch for epoch in [*kept, 0] if epoch + 1 in line]
    if not possible:
        raise ConflictError("This job has not finished an epoch yet: there is nothing to verify.")
    chosen = possible[0] if after_epoch is None else after_epoch
    if chosen not in possible:
        listed = ", ".join(str(epoch) for epoch in sorted(possible))
        raise ConflictError(
            f"There is no kept checkpoint of epoch {after_epoch} with an epoch after it; choose one of: {listed} "
            "(jobs with keep_every keep more)."
        )
    return line.get(chosen), line[chosen + 1]


def _difference(context: "VerifyContext", recorded: Checkpoint) -> str | None:
    assert context.saved is not None
    if not recorded.is_deleted:
        try:
            return first_difference(context.saved, context.artifacts.fetch(recorded.file))
        except CheckpointDamagedError:
            if _is_kept(context, recorded):
                return _difference_from_damaged(context, recorded)
    return first_different_part(context.saved, recorded.manifest["sha256"])


def _is_kept(context: "VerifyContext", recorded: Checkpoint) -> bool:
    """Whether its file should be there: a job that runs retires checkpoints meanwhile."""
    rows = context.stores.attempts.checkpoints(context.job_id)
    return any(row.file.key == recorded.file.key and not row.is_deleted for row in rows)


def _difference_from_damaged(context: "VerifyContext", recorded: Checkpoint) -> str:
    """What was changed in a file that no longer matches its checksum, as far as it can be read."""
    assert context.saved is not None
    copy = context.folder / "recorded.pth"
    found: str | None = None
    with suppress(CheckpointDamagedError, ArtifactNotFoundError), copy.open("wb") as file:
        file.writelines(context.artifacts.read(recorded.file.key))
        file.flush()
        found = first_difference(context.saved, copy)
    return f"{found}: its file was changed after it was saved" if found else "its file, which is missing or damaged"


class VerifyContext:
    """A TrainingContext that reads a finished job and changes nothing of it; it ends after one epoch."""

    def __init__(
        self,
        job: Job,
        config: Mapping[str, Any],
        stores: Stores,
        artifacts: ArtifactStore,
        *,
        start: Checkpoint | None,
        cache_dir: Path,
        folder: Path,
    ) -> None:
        self.job = job
        self._config = config
        self.stores = stores
        self.artifacts = artifacts
        self.start = start
        self.cache_dir = cache_dir
        self.folder = folder
        self.warnings: list[str] = []
        self.saved: Path | None = None
        self.ranks = Ranks(die_loudly)
        self._folder: DatasetFolder | None = None

    @property
    def job_id(self) -> str:
        return self.job.id

    @property
    def attempt(self) -> int:
        return self.start.attempt if self.start else 1

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def threads(self) -> int:
        return int(self.job.manifest["threads"])

    @property
    def model_architecture(self) -> str | None:
        return self.job.model_architecture

    def join_ranks(self, devices: int) -> int:
        return self.ranks.join(devices, self._orders)

    def _orders(self) -> Orders:
        return Orders(
            run=spec_of(self.job.kind).run,
            job_id=self.job_id,
            attempt=self.attempt,
            config=self.config,
            threads=self.threads,
            model_architecture=self.model_architecture,
            dataset=self._folder,
            cache_dir=self.cache_dir,
        )

    def raise_if_stopped(self) -> None: ...

    def set_phase(self, phase: str) -> None: ...

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def dataset(self) -> DatasetFolder:
        dataset = self.stores.datasets.get(self.job.manifest["dataset_id"])
        if dataset.sha256 != self.job.manifest["dataset_sha256"]:
            raise InvalidConfigError(f"Dataset {dataset.name} no longer holds the samples this job trained on.")
        self._folder = DatasetFolder(
            id=dataset.id,
            name=dataset.name,
            path=self.artifacts.local_folder(dataset.key or "", dataset.files),
            sha256=dataset.sha256 or "",
            unapproved=fixed_unapproved(self.job.manifest, self.stores.datasets),
        )
        return self._folder

    def started(
        self, *, dataset_size: int, train_samples: int, val_samples: int, model_architecture: str | None
    ) -> None: ...

    def checkpoint_to_load(self) -> Path | None:
        return self.artifacts.fetch(self.start.file) if self.start else None

    def took_over(self, *, epoch: int, step: int) -> None: ...

    def finish_epoch(self, report: EpochReport) -> None:
        self.saved = self.folder / "again.pth"
        with self.saved.open("wb") as file:
            report.write_checkpoint(file)
        raise StopTraining

    def pause_point(self) -> None: ...

    def drain(self) -> None: ...

    def progress(self, current: int, total: int, message: str) -> None: ...

    def save_artifact(self, name: str, artifact_type: str, write: Callable[[BinaryIO], None]) -> None: ...

    def best_checkpoint(self) -> None: ...

    def publish_dataset(self, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]) -> None: ...

    def scratch(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def cache(self, key: str, build: Callable[[Path], None]) -> Path:
        return build_once(self.cache_dir, key, build)
