"""A complete context without a server, and the tests that every trainer must pass.

`FakeContext` does what the real one does, on a folder of the local disk: it writes checkpoints on another thread while
the next epoch trains, pauses, stops, and hands checkpoints to the next attempt. `TrainerContract` is a class of tests:
a test module subclasses it and says how to make a context and how to run the trainer.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Self

from heimdall.domain.attempt import ArtifactType
from heimdall.domain.plain import real_number
from heimdall.sdk.context import DatasetFolder, EpochReport
from heimdall.sdk.stopping import StopTraining


@dataclass
class FakeContext:
    """Runs a trainer in `folder`. With `pause_at` it pauses after that epoch; with `stop_at` the attempt ends at that
    call of `raise_if_stopped`, as when it is cancelled or loses its lease. What was reported is in the lists.
    """

    folder: Path
    config: Mapping[str, Any]
    dataset_folder: DatasetFolder | None = None
    threads: int = 1
    attempt: int = 1
    model_architecture: str | None = None
    job_id: str = "00000000-0000-4000-8000-000000000000"
    pause_at: int | None = None
    stop_at: int | None = None
    from_epoch: int | None = None  # go on after this epoch; None: a fresh start

    phases: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list[tuple[int, dict[str, float]]])
    reports: list[EpochReport] = field(default_factory=list[EpochReport])
    started_with: dict[str, Any] | None = None
    took_over_at: tuple[int, int] | None = None
    artifact_types: dict[str, str] = field(default_factory=dict[str, str])
    progress_made: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    published: dict[str, Any] | None = None
    num_checks: int = 0
    best_epoch: int | None = None
    is_paused: bool = False
    _writer: Thread | None = field(default=None, repr=False)
    _write_errors: list[BaseException] = field(default_factory=list[BaseException], repr=False)

    def next_attempt(self, *, from_epoch: int | None = None, **changes: Any) -> Self:
        """The attempt that goes on after `from_epoch`, or after the newest epoch saved."""
        saved = [report.epoch for report in self.reports] or [self.from_epoch]
        following = type(self)(
            folder=self.folder,
            config=self.config,
            dataset_folder=self.dataset_folder,
            threads=self.threads,
            attempt=self.attempt + 1,
            model_architecture=self.model_architecture,
            from_epoch=saved[-1] if from_epoch is None else from_epoch,
            best_epoch=self.best_epoch,
        )
        for name, value in changes.items():
            setattr(following, name, value)
        return following

    @property
    def metrics(self) -> list[dict[str, float | None]]:
        """The epochs' rows of this attempt, oldest first."""
        return [{"epoch": report.epoch, **report.metrics} for report in self.reports]

    def checkpoint_path(self, epoch: int) -> Path:
        return self.folder / "checkpoints" / f"e{epoch}.pth"

    def artifact_path(self, name: str) -> Path:
        return self.folder / "artifacts" / name

    def join_ranks(self, devices: int) -> int:
        assert devices == 1, "FakeContext starts no further processes"
        return 1

    def raise_if_stopped(self) -> None:
        self.num_checks += 1
        if self.num_checks == self.stop_at:
            self.drain()
            raise StopTraining

    def set_phase(self, phase: str) -> None:
        if self.phases[-1:] != [phase]:
            self.phases.append(phase)

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.points.append((step, {name: real_number(name, value) for name, value in values.items()}))

    def dataset(self) -> DatasetFolder:
        assert self.dataset_folder is not None, "this FakeContext was made without a dataset"
        return self.dataset_folder

    def started(
        self, *, dataset_size: int, train_samples: int, val_samples: int, model_architecture: str | None
    ) -> None:
        self.model_architecture = model_architecture
        self.started_with = {
            "dataset_size": dataset_size,
            "train_samples": train_samples,
            "val_samples": val_samples,
            "model_architecture": model_architecture,
        }

    def checkpoint_to_load(self) -> Path | None:
        return None if self.from_epoch is None else self.checkpoint_path(self.from_epoch)

    def took_over(self, *, epoch: int, step: int) -> None:
        self.took_over_at = (epoch, step)

    def finish_epoch(self, report: EpochReport) -> None:
        self.drain()
        self.reports.append(report)
        self.best_epoch = report.best_epoch
        self._writer = Thread(target=self._write_checkpoint, args=[report])
        self._writer.start()

    def _write_checkpoint(self, report: EpochReport) -> None:
        path = self.checkpoint_path(report.epoch)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("wb") as file:
                report.write_checkpoint(file)
        except BaseException as error:  # noqa: BLE001 - raised again by `drain`, in the trainer's thread
            self._write_errors.append(error)

    def pause_point(self) -> None:
        if self.reports and self.reports[-1].epoch == self.pause_at:
            self.drain()
            self.is_paused = True
            raise StopTraining

    def drain(self) -> None:
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._write_errors:
            raise self._write_errors.pop()

    def progress(self, current: int, total: int, message: str) -> None:
        self.progress_made.append((current, total, message))

    def save_artifact(self, name: str, artifact_type: str, write: Callable[[BinaryIO], None]) -> None:
        kind = ArtifactType.of(artifact_type)
        path = self.artifact_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            write(file)
        self.artifact_types[name] = kind

    def best_checkpoint(self) -> Path | None:
        self.drain()
        return None if self.best_epoch is None else self.checkpoint_path(self.best_epoch)

    def publish_dataset(self, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]) -> None:
        self.published = {"folder": folder, "num_samples": num_samples, "sha256": sha256, "quality": dict(quality)}

    def scratch(self) -> Path:
        path = self.folder / f"scratch-{self.attempt}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def cache(self, key: str, build: Callable[[Path], None]) -> Path:
        path = self.folder / "cache" / key
        if not path.exists():
            unfinished = path.with_suffix(f".{time.monotonic_ns()}")
            unfinished.mkdir(parents=True)
            build(unfinished)
            unfinished.rename(path)
        return path


class TrainerContract:
    """What the service relies on in a trainer with epochs. The job must have at least two."""

    def new_context(self, folder: Path) -> FakeContext:
        """A context of a fresh, small job."""
        raise NotImplementedError

    def run(self, context: FakeContext) -> None:
        """Call the trainer."""
        raise NotImplementedError

    def test_every_epoch_is_reported_once_with_numbers(self, tmp_path: Path) -> None:
        context = self.new_context(tmp_path)
        self.run(context)
        assert [report.epoch for report in context.reports] == list(range(1, len(context.reports) + 1))
        assert len(context.reports) > 1, "the contract needs a job of at least two epochs"
        steps = [report.step for report in context.reports]
        assert steps == sorted(set(steps)), "steps count all batches of the job"
        for report in context.reports:
            assert all(value is None or type(value) is float for value in report.metrics.values()), report.metrics
        assert context.started_with is not None

    def test_a_checkpoint_owns_its_data(self, tmp_path: Path) -> None:
        """Written again at the end of the run, each is what it was when its epoch ended."""
        context = self.new_context(tmp_path)
        self.run(context)
        for report in context.reports:
            before = context.checkpoint_path(report.epoch).read_bytes()
            with (tmp_path / "again").open("wb") as file:
                report.write_checkpoint(file)
            assert (tmp_path / "again").read_bytes() == before

    def test_pausing_costs_nothing_but_time(self, tmp_path: Path) -> None:
        straight = self.new_context(tmp_path / "straight")
        self.run(straight)
        for epoch in range(1, len(straight.reports)):
            paused = self.new_context(tmp_path / str(epoch))
            paused.pause_at = epoch
            assert stops(self.run, paused)
            assert paused.is_paused
            resumed = paused.next_attempt()
            self.run(resumed)
            assert resumed.took_over_at == (epoch, straight.reports[epoch - 1].step)
            assert [*paused.metrics, *resumed.metrics] == straight.metrics
            for name in straight.artifact_types:
                assert resumed.artifact_path(name).read_bytes() == straight.artifact_path(name).read_bytes(), name

    def test_it_stops_at_the_batch_it_is_told_to(self, tmp_path: Path) -> None:
        context = self.new_context(tmp_path)
        context.stop_at = 2
        assert stops(self.run, context)
        assert context.num_checks == 2


def stops(run: Callable[[FakeContext], None], context: FakeContext) -> bool:
    """Whether the trainer let StopTraining pass."""
    try:
        run(context)
    except StopTraining:
        return True
    return False
