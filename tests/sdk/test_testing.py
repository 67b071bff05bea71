"""FakeContext, tried with a trainer that has no library: it sums numbers."""

import dataclasses
import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from heimdall.domain.attempt import ArtifactType
from heimdall.sdk import DatasetFolder, EpochReport, StopTraining, TrainingContext
from heimdall.sdk.testing import FakeContext, TrainerContract, stops


def train(context: TrainingContext) -> None:
    context.set_phase("training")
    context.started(dataset_size=2, train_samples=2, val_samples=0, model_architecture="sum")
    path, total, done = context.checkpoint_to_load(), 0.0, 0
    if path is not None:
        saved = json.loads(path.read_text())
        total, done = saved["total"], saved["epoch"]
        context.took_over(epoch=done, step=2 * done)
    for epoch in range(done + 1, context.config["epochs"] + 1):
        for step in (2 * epoch - 1, 2 * epoch):
            context.raise_if_stopped()
            total += step
            context.log({"total": total}, step)
        context.finish_epoch(report_of(epoch, total))
        if epoch < context.config["epochs"]:
            context.pause_point()
    context.drain()
    assert context.best_checkpoint() is not None
    context.save_artifact("total.json", "metrics", lambda file: void(file.write(json.dumps(total).encode())))


def void(value: Any) -> None:
    del value


def report_of(epoch: int, total: float) -> EpochReport:
    def write(file: BinaryIO) -> None:
        file.write(json.dumps({"epoch": epoch, "total": total}).encode())

    return EpochReport(
        epoch=epoch,
        step=2 * epoch,
        metrics={"total": total},
        is_best=True,
        best_epoch=epoch,
        best_value=total,
        keep=False,
        write_checkpoint=write,
    )


def context_of(folder: Path, **options: Any) -> FakeContext:
    return FakeContext(folder=folder, config={"epochs": 3}, **options)


class TestContract(TrainerContract):
    def new_context(self, folder: Path) -> FakeContext:
        return context_of(folder)

    def run(self, context: FakeContext) -> None:
        train(context)


def test_a_run_can_be_looked_at_afterwards(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    train(context)
    assert context.metrics == [{"epoch": 1, "total": 3.0}, {"epoch": 2, "total": 10.0}, {"epoch": 3, "total": 21.0}]
    assert context.points[0] == (1, {"total": 1.0})
    assert context.phases == ["training"]
    assert json.loads(context.artifact_path("total.json").read_text()) == 21.0
    assert json.loads(context.checkpoint_path(2).read_text()) == {"epoch": 2, "total": 10.0}


def test_a_stop_ends_the_attempt_and_the_next_one_goes_on(tmp_path: Path) -> None:
    context = context_of(tmp_path, stop_at=4)
    assert stops(train, context)
    following = context.next_attempt()
    assert (following.attempt, following.from_epoch) == (2, 1)
    train(following)
    assert following.took_over_at == (1, 2)
    assert following.metrics[-1]["total"] == 21.0
    earlier = following.next_attempt(from_epoch=2, threads=4)
    assert (earlier.from_epoch, earlier.threads, earlier.model_architecture) == (2, 4, "sum")


def test_a_checkpoint_that_cannot_be_written_fails_the_trainer(tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        raise OSError("disk full")

    context = context_of(tmp_path)
    context.finish_epoch(dataclasses.replace(report_of(1, 1.0), write_checkpoint=write))
    with pytest.raises(OSError, match="disk full"):
        context.drain()


def test_a_cache_is_built_once_and_only_whole(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        if len(built) == 1:
            raise StopTraining
        (folder / "data").write_text("x")

    context = context_of(tmp_path)
    with pytest.raises(StopTraining):
        context.cache("key-1", build)
    path = context.cache("key-1", build)
    assert context.cache("key-1", build) == path
    assert len(built) == 2
    assert (path / "data").read_text() == "x"


def test_warnings_come_once_and_datasets_as_given(tmp_path: Path) -> None:
    folder = DatasetFolder(id="1", name="n", path=tmp_path, sha256="")
    context = context_of(tmp_path, dataset_folder=folder)
    context.warn("careful")
    context.warn("careful")
    assert context.warnings == ["careful"]
    assert context.dataset() is folder
    context.publish_dataset(tmp_path, num_samples=1, sha256="x", quality={})
    assert context.published == {"folder": tmp_path, "num_samples": 1, "sha256": "x", "quality": {}}
    context.progress(1, 2, "half")
    assert context.progress_made == [(1, 2, "half")]
    assert context.scratch().is_dir()


def test_an_artifact_type_that_the_service_refuses_is_refused_here_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^There is no artifact type 'report'; a type is one of checkpoint, config, "):
        context_of(tmp_path).save_artifact("report.txt", "report", lambda file: void(file.write(b"")))
    assert list(tmp_path.rglob("report.txt")) == []


def test_the_author_reads_of_every_artifact_type() -> None:
    text = TrainingContext.save_artifact.__doc__ or ""
    assert all(kind in text for kind in ArtifactType)
