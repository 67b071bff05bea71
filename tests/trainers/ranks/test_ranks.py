"""Training on several devices: what it owes to one process, and to itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heimdall.sdk import DatasetFolder
from heimdall.trainers import checkpoint
from heimdall.trainers.comparison import first_difference
from tests.trainers.localization.conftest import generated
from tests.trainers.ranks.training import Job, Training


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return generated(tmp_path_factory.mktemp("dataset"), 80)


def training(folder: Path, dataset: DatasetFolder, job: Job, devices: int, **fields: Any) -> Training:
    return Training(job=job, folder=str(folder), dataset=str(dataset.path), devices=devices, **fields)


def losses(result: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array([values["train_loss"] for _, values in result["points"]])


def test_in_float64_the_loss_curve_is_that_of_one_process(tmp_path: Path, dataset: DatasetFolder) -> None:
    """300 steps; every fourth batch is a partial one of 13 samples, which two ranks share as 6 and 7."""
    job = Job(is_double=True, epochs=75)
    one, two = (training(tmp_path / str(n), dataset, job, n).train() for n in (1, 2))
    assert len(losses(one)) == 300
    assert losses(one)[-1] < losses(one)[0] - 1.0
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-6)
    for ours, reference in zip(two["metrics"], one["metrics"], strict=True):
        assert ours == pytest.approx(reference, rel=1e-6)


def test_in_float32_the_first_averaged_gradient_is_that_of_one_process(tmp_path: Path, dataset: DatasetFolder) -> None:
    job = Job(epochs=1, batch_size=13)
    one, two = (np.array(training(tmp_path / str(n), dataset, job, n).train()["gradient"]) for n in (1, 2))
    assert np.linalg.norm(one) > 0.1
    assert np.linalg.norm(two - one) / np.linalg.norm(one) < 1e-5


def test_a_batch_smaller_than_the_number_of_ranks_counts_right(tmp_path: Path, dataset: DatasetFolder) -> None:
    job = Job(is_double=True, batch_size=2, num_train=7, num_val=1)
    one, three = (training(tmp_path / str(n), dataset, job, n).train() for n in (1, 3))
    np.testing.assert_allclose(losses(three), losses(one), rtol=1e-9)
    for ours, reference in zip(three["metrics"], one["metrics"], strict=True):
        assert ours == pytest.approx(reference, rel=1e-9)


def test_paused_or_stopped_and_gone_on_it_ends_with_the_same_bits(tmp_path: Path, dataset: DatasetFolder) -> None:
    """Of three numbers the sum depends on their order, so the order of ranks must not change within a process."""
    job = Job(epochs=4, dropout=0.2)
    straight = training(tmp_path / "straight", dataset, job, 3)
    split = training(tmp_path / "split", dataset, job, 3)
    whole = straight.train()
    parts = [
        replace(split, pause_at=1).train(),
        replace(split, from_epoch=1, stop_at=9).train(),  # in the third epoch
        replace(split, from_epoch=2).train(),
    ]
    assert [row for part in parts for row in part["metrics"]] == whole["metrics"]
    assert last_difference(split, straight) is None
    # Each rank draws its own random numbers: with the same ones, samples would share theirs.
    assert [row["train_distinct"] for row in whole["metrics"]] == [job.num_train] * job.epochs


def test_an_early_stop_and_a_plateau_are_decided_for_all(tmp_path: Path, dataset: DatasetFolder) -> None:
    loop = {"lr_scheduler": "plateau", "early_stop_patience": 4, "early_stop_delta": 1e9, "warmup_epochs": 0}
    job = Job(epochs=10, loop=loop)
    result = training(tmp_path, dataset, job, 2).train()
    assert [row["learning_rate"] for row in result["metrics"]] == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4]


def test_another_number_of_devices_is_named_in_the_warnings(tmp_path: Path, dataset: DatasetFolder) -> None:
    job = Job(epochs=3)
    training(tmp_path, dataset, job, 2, pause_at=1).train()
    following = training(tmp_path, dataset, job, 1, from_epoch=1).train()
    assert following["warnings"] == ["From epoch 2 on this job runs on another machine: num_devices was 2, is 1."]
    assert [row["epoch"] for row in following["metrics"]] == [2, 3]
    machines = [checkpoint.load(tmp_path / "checkpoints" / f"e{e}.pth")["manifest"]["machine"] for e in (1, 2)]
    assert [machine["num_devices"] for machine in machines] == [2, 1]


def last_difference(ours: Training, reference: Training) -> str | None:
    name = f"checkpoints/e{ours.job.epochs}.pth"
    return first_difference(Path(ours.folder, name), Path(reference.folder, name))
