"""Every config field changes something that can be seen."""

from pathlib import Path
from typing import Any

import pytest

from heimdall.sdk import DatasetFolder
from heimdall.sdk.testing import FakeContext
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.train import run
from tests.trainers.localization.test_train import context_of

BASE: dict[str, Any] = {"epochs": 2, "warmup_epochs": 1}
CHANGES_METRICS: dict[str, Any] = {
    "batch_size": 8,
    "validation_split": 0.4,
    "epochs": 3,
    "learning_rate": 0.01,
    "weight_decay": 0.9,
    "dropout_rate": 0.0,
    "lr_scheduler": "step",
    "warmup_epochs": 0,
    "max_grad_norm": 1e-6,
    "precision": "bf16",
    "min_snr_db": 20.0,
    "good_geometry_gdop": 0.8,
    "accuracy_radius_km": 60.0,
    "seed": 43,
}
CHANGES_CONVNEXT: dict[str, Any] = {
    "n_mels": 48,
    "n_fft": 1024,
    "hop_length": 256,
    "freeze_backbone": True,
}
SEEN_ELSEWHERE = {
    "dataset_id",  # the context's to resolve
    "model_architecture",  # test_train
    "pretrained",  # test_convnext
    "num_workers",  # changes nothing but speed: test_train, and below
    "early_stop_patience", "early_stop_delta", "keep_every",  # tests/trainers/loop
    "accelerator", "devices",  # test_train, tests/trainers/loop
    "only_approved",  # test_data
}  # fmt: skip


def result(folder: Path, dataset: DatasetFolder, **fields: Any) -> FakeContext:
    context = context_of(folder, dataset, **{**BASE, **fields})
    run(context)
    return context


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, dataset: DatasetFolder) -> FakeContext:
    return result(tmp_path_factory.mktemp("base"), dataset)


@pytest.mark.parametrize("field", CHANGES_METRICS)
def test_field_acts(tmp_path: Path, dataset: DatasetFolder, unchanged: FakeContext, field: str) -> None:
    changed = result(tmp_path, dataset, **{field: CHANGES_METRICS[field]})
    assert changed.metrics != unchanged.metrics


@pytest.fixture(scope="module")
def unchanged_convnext(tmp_path_factory: pytest.TempPathFactory, dataset: DatasetFolder) -> FakeContext:
    folder = tmp_path_factory.mktemp("convnext")
    return result(folder, dataset, model_architecture="convnext_atto", pretrained=False, epochs=1)


@pytest.mark.parametrize("field", CHANGES_CONVNEXT)
def test_field_of_convnext_acts(
    tmp_path: Path, dataset: DatasetFolder, unchanged_convnext: FakeContext, field: str
) -> None:
    fields: dict[str, Any] = {"model_architecture": "convnext_atto", "pretrained": False, "epochs": 1}
    changed = result(tmp_path, dataset, **fields, **{field: CHANGES_CONVNEXT[field]})
    assert changed.metrics != unchanged_convnext.metrics


def test_workers_are_started(tmp_path: Path, dataset: DatasetFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    loaders: list[int] = []
    original = __import__("torch").utils.data.DataLoader.__init__

    def spy(self: Any, *args: Any, **options: Any) -> None:
        loaders.append(options["num_workers"])
        original(self, *args, **options)

    monkeypatch.setattr("torch.utils.data.DataLoader.__init__", spy)
    result(tmp_path, dataset, num_workers=1, epochs=1)
    assert loaders == [1, 1]


def test_no_field_is_forgotten() -> None:
    tested = {*CHANGES_METRICS, *CHANGES_CONVNEXT, *SEEN_ELSEWHERE}
    assert tested == set(TrainingConfig.model_fields)
