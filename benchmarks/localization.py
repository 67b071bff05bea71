"""Location error of our trained network beside simple estimators and the floor that no estimator can beat.

Fixed, seeded data: the seven fixed receivers, and 4 to 10 random ones; 20,000 training and 4,000 test samples each. All
figures are on the test samples. The floor is the posterior mean under the generator's own likelihood and prior, on a
grid; halving its step shows that the grid does not matter.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from heimdall.datasets.format import Rows
from heimdall.datasets.reader import DatasetReader, open_dataset
from heimdall.sdk import DatasetFolder, EpochReport
from heimdall.sdk.testing import FakeContext
from heimdall.trainers import checkpoint
from heimdall.trainers.localization.data import LocalizationSamples, centroid, select, survey
from heimdall.trainers.localization.geometry import Floats, great_circle_km
from heimdall.trainers.localization.metrics import rmse
from heimdall.trainers.localization.predict import locate
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.train import run
from heimdall.trainers.localization.triangulation import Triangulation
from heimdall.trainers.synthetic.likelihood import ObservationModel, posterior_mean
from heimdall.trainers.synthetic.spec import GenerateConfig
from heimdall.trainers.synthetic.train import generate_into
from pairs import RESULTS, save

NUM_TRAIN, NUM_TEST = 20_000, 4_000
TRAIN_SEED, TEST_SEED = 1, 2
COVERAGE_BAR = (0.65, 0.71)
GRID_STEP_DEGREES = 0.08
GRID_BAR = 0.005
THREADS = 2
CONFIG = TrainingConfig(
    model_architecture="triangulation",
    epochs=24,
    batch_size=128,
    dropout_rate=0.0,
    min_snr_db=0.0,  # every accepted sample, for everybody
    early_stop_patience=0,
    num_workers=0,
)
CONVNEXT_CONFIG = TrainingConfig(
    model_architecture="convnext_atto",
    pretrained=False,
    epochs=6,
    batch_size=8,
    warmup_epochs=1,
    n_mels=32,
    n_fft=512,
    hop_length=512,
    min_snr_db=0.0,
    num_workers=0,
)
NUM_CONVNEXT = 600


@dataclass(frozen=True)
class Setting:
    name: str
    use_random_receivers: bool
    bar: float  # of our RMSE over the floor's


SETTINGS = (Setting("fixed", False, 1.03), Setting("random", True, 1.08))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {setting.name: measure(setting, Path(folder)) for setting in SETTINGS}
        figures["convnext_atto"] = convnext(Path(folder))
    save("localization", {"config": CONFIG.model_dump(), "samples": [NUM_TRAIN, NUM_TEST], **figures})
    text = "\n".join(as_markdown(figures)) + "\n"
    (RESULTS / "localization.md").write_text(text)
    print(text)


def measure(setting: Setting, folder: Path) -> dict[str, Any]:
    train = generate(folder / f"{setting.name}-train", setting, NUM_TRAIN, TRAIN_SEED)
    test = generate(folder / f"{setting.name}-test", setting, NUM_TEST, TEST_SEED)
    reader = open_dataset(test.path)
    rows = reader.rows()
    coarse, fine = (floor(reader, step) for step in (GRID_STEP_DEGREES, GRID_STEP_DEGREES / 2))
    table = {
        "centroid of receivers": errors(rows, detected_centroid(rows)),
        "SNR-weighted centroid": errors(rows, weighted_centroid(rows)),
        "Bayes posterior mean": errors(rows, fine),
    }
    ours, coverage, seconds = train_and_test(train, test, folder / f"{setting.name}-run")
    table["triangulation (ours)"] = ours
    least = rmse(table["Bayes posterior mean"])
    return {
        "estimators": {
            name: {"rmse_km": rmse(values), "median_km": float(np.median(values))} for name, values in table.items()
        },
        "grid_step_halved_moves_rmse": abs(rmse(errors(rows, coarse)) / least - 1),
        "grid_bar": GRID_BAR,
        "ratio_to_floor": rmse(ours) / least,
        "ratio_bar": setting.bar,
        "coverage_68": coverage,
        "coverage_bar": COVERAGE_BAR,
        "training_cpu_seconds": seconds,
    }


def generate(path: Path, setting: Setting, num_samples: int, seed: int) -> DatasetFolder:
    config = GenerateConfig(
        name=path.name, num_samples=num_samples, seed=seed, use_random_receivers=setting.use_random_receivers
    )
    written = generate_into(path, config, progress=lambda *_: None, raise_if_stopped=lambda: None)
    return DatasetFolder(id=path.name, name=path.name, path=path, sha256=written.sha256)


def floor(reader: DatasetReader, step_degrees: float) -> Floats:
    return posterior_mean(ObservationModel.of_dataset(reader.metadata), reader.rows(), step_degrees=step_degrees)


def detected_centroid(rows: Rows) -> Floats:
    return _weighted(rows, rows["detected"].astype(np.float64))


def weighted_centroid(rows: Rows) -> Floats:
    """Weights are amplitudes, 10^(SNR / 20)."""
    return _weighted(rows, np.where(rows["detected"], 10.0 ** (rows["snr_db"].astype(np.float64) / 20.0), 0.0))


def _weighted(rows: Rows, weight: Floats) -> Floats:
    total = weight.sum(axis=1)
    return np.stack(
        [(rows["receiver_lat"] * weight).sum(axis=1) / total, (rows["receiver_lon"] * weight).sum(axis=1) / total],
        axis=-1,
    )


def errors(rows: Rows, places: Floats) -> Floats:
    return great_circle_km(places[:, 0], places[:, 1], rows["tx_lat"], rows["tx_lon"])


class Shown(FakeContext):
    def finish_epoch(self, report: EpochReport) -> None:
        super().finish_epoch(report)
        figures = ", ".join(f"{name} {report.metrics[name]:.4g}" for name in ("train_loss", "val_loss", "val_rmse"))
        print(f"  epoch {report.epoch}: {figures}", flush=True)


def train_and_test(train: DatasetFolder, test: DatasetFolder, folder: Path) -> tuple[Floats, float, float]:
    """Errors and 68 % coverage on the test samples, and the CPU time of training."""
    print(f"training on {train.name}", flush=True)
    context = Shown(folder=folder, config=CONFIG.model_dump(), dataset_folder=train, threads=THREADS)
    started = time.process_time()
    run(context)
    seconds = time.process_time() - started
    best = context.best_checkpoint()
    assert best is not None
    model = Triangulation(CONFIG.dropout_rate)
    model.load_state_dict(checkpoint.load(best)["model_state_dict"])
    area = survey(open_dataset(train.path)).area
    found = replace(survey(open_dataset(test.path)), area=area)
    samples = LocalizationSamples(test.path, np.arange(NUM_TEST), area)
    positions = locate(model, samples, found, context)
    return positions.errors_km(), float(positions.is_inside_68().mean()), seconds


def convnext(folder: Path) -> dict[str, Any]:
    """The spectrogram path on a small set: its loss falls and it beats the centroid on its validation part."""
    dataset = generate(folder / "convnext", SETTINGS[0], NUM_CONVNEXT, TRAIN_SEED)
    context = Shown(
        folder=folder / "convnext-run", config=CONVNEXT_CONFIG.model_dump(), dataset_folder=dataset, threads=THREADS
    )
    print("training convnext_atto", flush=True)
    run(context)
    reader = open_dataset(dataset.path)
    val = reader.take(select(survey(reader).mean_snr_db, dataset, CONVNEXT_CONFIG).val)
    best = min(row["val_rmse"] or np.inf for row in context.metrics)
    return {
        "samples": NUM_CONVNEXT,
        "first_train_loss": context.metrics[0]["train_loss"],
        "last_train_loss": context.metrics[-1]["train_loss"],
        "val_rmse_km": best,
        "centroid_val_rmse_km": rmse(errors(val, detected_centroid(val))),
        "all_receivers_centroid_val_rmse_km": rmse(errors(val, centroid(val))),
    }


def as_markdown(figures: dict[str, Any]) -> Iterable[str]:
    yield "# Localisation benchmark"
    for setting in SETTINGS:
        part = figures[setting.name]
        yield f"\n## {setting.name} receivers: {NUM_TRAIN:,} training, {NUM_TEST:,} test samples\n"
        yield "| estimator | RMSE (km) | median error (km) |\n|---|---|---|"
        for name, values in part["estimators"].items():
            yield f"| {name} | {values['rmse_km']:.2f} | {values['median_km']:.2f} |"
        yield (
            f"\nOurs / floor: {part['ratio_to_floor']:.4f} (bar {part['ratio_bar']}). 68 % coverage: "
            f"{part['coverage_68']:.4f} (bar {COVERAGE_BAR[0]} to {COVERAGE_BAR[1]}). Halving the grid step moves the "
            f"floor by {part['grid_step_halved_moves_rmse']:.3%} (bar {GRID_BAR:.1%}). Training took "
            f"{part['training_cpu_seconds']:.0f} s of CPU time."
        )
    part = figures["convnext_atto"]
    yield f"\n## convnext_atto on {part['samples']} samples\n"
    yield (
        f"Training loss {part['first_train_loss']:.3f} → {part['last_train_loss']:.3f}; validation RMSE "
        f"{part['val_rmse_km']:.1f} km, centroid of receivers {part['centroid_val_rmse_km']:.1f} km."
    )


if __name__ == "__main__":
    main()
