# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from heimdall.datasets.reader import open_dataset
from heimdall.domain.errors import InvalidConfigError
from heimdall.sdk import DatasetFolder, StopTraining
from heimdall.sdk.testing import FakeContext
from heimdall.trainers import checkpoint
from heimdall.trainers.localization.data import survey
from heimdall.trainers.localization.geometry import great_circle_km
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.train import run

SMALL: dict[str, Any] = {
    "epochs": 3, "batch_size": 16, "num_workers": 0, "min_snr_db": 0.0, "accelerator": "cpu", "warmup_epochs": 0,
    "n_mels": 32, "n_fft": 512, "hop_length": 512,
}  # fmt: skip
METRICS = {
    "train_loss", "val_loss", "train_accuracy", "val_accuracy", "train_rmse", "val_rmse", "val_rmse_good_geom",
    "val_p50_km", "val_p68_km", "val_p95_km", "val_coverage_68", "learning_rate", "gradient_norm",
}  # fmt: skip
ARTIFACTS = {
    "predictions.parquet": "predictions", "config.yaml": "config", "metrics.json": "metrics",
    "metadata.json": "other",
}  # fmt: skip


def context_of(
    folder: Path, dataset: DatasetFolder, *, options: dict[str, Any] | None = None, **fields: Any
) -> FakeContext:
    config = TrainingConfig.model_validate({**SMALL, "model_architecture": "triangulation", **fields})
    return FakeContext(folder=folder, config=config.model_dump(), dataset_folder=dataset, **(options or {}))


def digest(context: FakeContext, epoch: int) -> str:
    return checkpoint.sha256_of(checkpoint.load(context.checkpoint_path(epoch)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, dataset: DatasetFolder) -> FakeContext:
    context = context_of(tmp_path_factory.mktemp("finished"), dataset)
    run(context)
    return context


def test_a_job_reports_the_contracts_metrics_and_leaves_its_files(finished: FakeContext) -> None:
    assert [row.keys() - {"epoch"} for row in finished.metrics] == [METRICS] * 3
    assert finished.artifact_types == ARTIFACTS
    assert finished.phases == ["preparing_data", "training", "exporting"]
    assert finished.started_with == {
        "dataset_size": 60, "train_samples": 48, "val_samples": 12, "model_architecture": "triangulation"
    }  # fmt: skip
    assert finished.warnings == []


def test_predictions_are_those_of_the_best_model(finished: FakeContext, dataset: DatasetFolder) -> None:
    table = pq.read_table(finished.artifact_path("predictions.parquet")).to_pydict()
    assert list(table) == ["index", "split", "lat", "lon", "cov_ee", "cov_en", "cov_nn"]
    assert sorted(table["index"]) == list(range(60))
    assert [table["split"].count(split) for split in ("train", "val")] == [48, 12]
    truth = survey(open_dataset(dataset.path)).truth[table["index"]]
    errors = great_circle_km(np.array(table["lat"]), np.array(table["lon"]), truth[:, 0], truth[:, 1])
    best = finished.metrics[(finished.best_epoch or 0) - 1]
    assert np.sqrt(np.mean(errors[48:] ** 2)) == pytest.approx(best["val_rmse"], rel=1e-5)
    covariance = np.array([table["cov_ee"], table["cov_en"], table["cov_nn"]])
    assert (covariance[0] * covariance[2] > covariance[1] ** 2).all()


def test_descriptions_are_readable_files(finished: FakeContext) -> None:
    config = yaml.safe_load(finished.artifact_path("config.yaml").read_text())
    assert config == finished.config
    metrics = json.loads(finished.artifact_path("metrics.json").read_text())
    assert metrics["best_epoch"] == finished.best_epoch
    assert metrics["last"] == {key: value for key, value in finished.metrics[-1].items() if key != "epoch"}
    metadata = json.loads(finished.artifact_path("metadata.json").read_text())
    assert metadata["model_architecture"] == "triangulation"
    assert metadata["dataset"]["id"] == "dataset-1"
    assert metadata["num_parameters"] > 10_000


@pytest.mark.parametrize(("architecture", "epochs"), [("triangulation", 4), ("convnext_atto", 2)])
def test_pausing_at_any_epoch_changes_no_bit(
    tmp_path: Path, dataset: DatasetFolder, architecture: str, epochs: int
) -> None:
    fields: dict[str, Any] = {"model_architecture": architecture, "pretrained": False, "epochs": epochs}
    straight = context_of(tmp_path / "straight", dataset, **fields)
    run(straight)
    for split in range(1, epochs):
        first = context_of(tmp_path / str(split), dataset, options={"pause_at": split}, **fields)
        with pytest.raises(StopTraining):
            run(first)
        second = first.next_attempt()
        run(second)
        assert [*first.metrics, *second.metrics] == straight.metrics
        assert digest(second, epochs) == digest(straight, epochs)
        for name in ARTIFACTS:
            assert second.artifact_path(name).read_bytes() == straight.artifact_path(name).read_bytes()


@pytest.mark.parametrize("architecture", ["triangulation", "convnext_atto"])
def test_workers_change_no_bit(tmp_path: Path, dataset: DatasetFolder, architecture: str) -> None:
    fields: dict[str, Any] = {"model_architecture": architecture, "pretrained": False, "epochs": 1}
    alone = context_of(tmp_path / "alone", dataset, **fields)
    helped = context_of(tmp_path / "helped", dataset, **fields, num_workers=2)
    run(alone)
    run(helped)
    weights = [checkpoint.load(context.checkpoint_path(1))["model_state_dict"] for context in (alone, helped)]
    assert checkpoint.sha256_of(weights[0]) == checkpoint.sha256_of(weights[1])
    assert alone.metrics == helped.metrics


def test_a_job_whose_epochs_are_all_done_only_exports(tmp_path: Path, dataset: DatasetFolder) -> None:
    first = context_of(tmp_path, dataset)
    run(first)
    before = first.artifact_path("predictions.parquet").read_bytes()
    first.artifact_path("predictions.parquet").unlink()
    second = first.next_attempt()
    run(second)
    assert second.reports == []
    assert second.artifact_path("predictions.parquet").read_bytes() == before


def test_cancel_while_exporting_stops(tmp_path: Path, dataset: DatasetFolder) -> None:
    context = context_of(tmp_path, dataset, options={"stop_at": 3 * 4 + 1})  # after the last epoch's batches
    with pytest.raises(StopTraining):
        run(context)
    assert context.phases[-1] == "exporting"


def test_without_validation_its_figures_are_null(tmp_path: Path, dataset: DatasetFolder) -> None:
    context = context_of(tmp_path, dataset, validation_split=0.0)
    run(context)
    row = context.metrics[-1]
    assert {name for name, value in row.items() if value is None} == {n for n in METRICS if n.startswith("val_")}
    assert context.best_epoch is not None
    table = pq.read_table(context.artifact_path("predictions.parquet"))
    assert table["split"].unique().to_pylist() == ["train"]


def test_many_samples_left_out_are_told(tmp_path: Path, dataset: DatasetFolder) -> None:
    marked = replace(dataset, unapproved=tuple(range(10)))
    context = context_of(tmp_path, marked, epochs=1)
    run(context)
    assert context.warnings == ["10 of 60 samples were left out by min_snr_db 0 and only_approved."]


def test_auto_is_triangulation_without_a_gpu_and_stays_what_it_was(tmp_path: Path, dataset: DatasetFolder) -> None:
    context = context_of(tmp_path / "auto", dataset, model_architecture="auto", epochs=1)
    run(context)
    assert context.model_architecture == "triangulation"
    assert context.warnings == [
        "n_mels, n_fft: only ConvNeXt models use this; triangulation ignores it.",
    ]
    options = {"model_architecture": "convnext_atto"}
    again = context_of(
        tmp_path / "again", dataset, options=options, model_architecture="auto", epochs=1, pretrained=False
    )
    run(again)
    assert (
        "backbone.embeddings.patch_embeddings.weight" in checkpoint.load(again.checkpoint_path(1))["model_state_dict"]
    )


def test_published_weights_cannot_be_demanded_where_auto_is_triangulation(
    tmp_path: Path, dataset: DatasetFolder
) -> None:
    with pytest.raises(InvalidConfigError, match="pretrained"):
        run(context_of(tmp_path, dataset, model_architecture="auto", pretrained=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said_before_the_data_is_touched(tmp_path: Path, dataset: DatasetFolder) -> None:
    context = context_of(tmp_path, dataset, accelerator="gpu")
    with pytest.raises(InvalidConfigError, match="accelerator"):
        run(context)
    assert context.phases == []


def test_reported_ellipses_have_the_spread_of_the_best_epoch(finished: FakeContext) -> None:
    spreads = [float(checkpoint.load(finished.checkpoint_path(e))["model_state_dict"]["spread"]) for e in (1, 2, 3)]
    assert len(set(spreads)) == 3
    assert all(0.1 < spread < 10 for spread in spreads)
