# pyright: reportUnknownMemberType=false
"""Checkpoints that earlier releases wrote are trained on; see `keep_checkpoint.py` for how one is added."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from heimdall.domain.errors import CheckpointDamagedError
from heimdall.sdk import DatasetFolder
from heimdall.sdk.kept_config import read_config
from heimdall.sdk.testing import FakeContext
from heimdall.trainers import checkpoint
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.train import run
from tests.trainers.localization.conftest import generated
from tests.trainers.localization.keep_checkpoint import KEPT

RELEASES = sorted(KEPT.iterdir())


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A job of an earlier release, stopped after `epoch`. `losses` are those of all its epochs."""

    file: Path
    epoch: int
    config: dict[str, Any]
    losses: list[dict[str, float]]
    dataset: DatasetFolder

    def context(self, folder: Path, **changes: Any) -> FakeContext:
        """Of the attempt that resumes it, with the job's row as this release reads it."""
        config = read_config(TrainingConfig, {**self.config, **changes}).values
        context = FakeContext(folder=folder, config=config, dataset_folder=self.dataset, from_epoch=self.epoch)
        path = context.checkpoint_path(self.epoch)
        path.parent.mkdir(parents=True)
        shutil.copy(self.file, path)
        return context


@pytest.fixture(scope="module", params=RELEASES, ids=lambda path: path.name)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeptJob:
    folder: Path = request.param
    described: dict[str, Any] = json.loads((folder / "job.json").read_text("utf-8"))
    dataset = generated(tmp_path_factory.mktemp("dataset"), **described.pop("dataset"))
    return KeptJob(file=folder / "job.pth", dataset=dataset, **described)


def assert_it_was_resumed(context: FakeContext, kept: KeptJob) -> None:
    """To the end, with the losses of the release that began it but for what another machine may round otherwise."""
    assert context.took_over_at is not None
    assert context.took_over_at[0] == kept.epoch
    rest = kept.losses[kept.epoch :]
    assert [row["epoch"] for row in context.metrics] == [row["epoch"] for row in rest]
    for ours, theirs in zip(context.metrics, rest, strict=True):
        for name in ("train_loss", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3)


def test_there_is_one() -> None:
    assert RELEASES


def test_it_is_resumed(kept: KeptJob, tmp_path: Path) -> None:
    context = kept.context(tmp_path)
    run(context)
    assert_it_was_resumed(context, kept)


@pytest.mark.parametrize("is_in_row", [True, False])
def test_it_is_resumed_although_a_field_was_removed_since(kept: KeptJob, tmp_path: Path, *, is_in_row: bool) -> None:
    context = kept.context(tmp_path, **({"mixup": 0.2} if is_in_row else {}))
    change_config(context.checkpoint_path(kept.epoch), mixup=0.2)
    run(context)
    assert_it_was_resumed(context, kept)
    assert "The config field mixup (it was 0.2) is unknown to this release and is ignored." in context.warnings


def test_it_is_resumed_although_a_field_is_new(kept: KeptJob, tmp_path: Path) -> None:
    """As the release before `good_geometry_gdop` would have left it."""
    context = kept.context(tmp_path)
    change_config(context.checkpoint_path(kept.epoch), good_geometry_gdop=None)
    run(context)
    assert_it_was_resumed(context, kept)


def test_it_is_refused_for_a_job_with_another_value_in_a_new_field(kept: KeptJob, tmp_path: Path) -> None:
    context = kept.context(tmp_path, good_geometry_gdop=3.0)
    change_config(context.checkpoint_path(kept.epoch), good_geometry_gdop=None)
    with pytest.raises(CheckpointDamagedError, match="another config"):
        run(context)


def change_config(path: Path, **values: Any) -> None:
    """Set fields of the config in a checkpoint; None: take the field out."""
    content = checkpoint.load(path)
    for name, value in values.items():
        content["config"].pop(name, None)
        if value is not None:
            content["config"][name] = value
    torch.save(content, path)
