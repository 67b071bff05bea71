"""Epoch time of the training loop beside a hand-written PyTorch loop with the same model, data and order of samples."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from heimdall.datasets.reader import open_dataset
from heimdall.sdk import DatasetFolder, EpochReport
from heimdall.sdk.testing import FakeContext
from heimdall.trainers.localization.data import LocalizationSamples, select, survey
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.task import LocalizationTask
from heimdall.trainers.localization.triangulation import Triangulation, gaussian_nll, split_gaussian
from heimdall.trainers.loop import Loop
from heimdall.trainers.machine import make_repeatable
from heimdall.trainers.synthetic.spec import GenerateConfig
from heimdall.trainers.synthetic.train import generate_into
from pairs import paired, save

BAR = 1.05
NUM_SAMPLES = 4000
PAIRS = 15
THREADS = 1


class Quiet(FakeContext):
    """Keeps nothing, so that what is measured is the loop: each epoch is snapshot, then dropped."""

    def log(self, values: Any, step: int) -> None:
        for value in values.values():
            float(value)

    def finish_epoch(self, report: EpochReport) -> None:
        self.reports = [report]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        generate_into(
            Path(folder),
            GenerateConfig(name="loop", num_samples=NUM_SAMPLES),
            progress=lambda *_: None,
            raise_if_stopped=lambda: None,
        )
        figures = {f"batch_size_{batch_size}": measure(Path(folder), batch_size) for batch_size in (32, 256)}
    for name, ratio in figures.items():
        print(f"{name}: epoch time ours / hand-written {ratio} (bar {BAR})")
    save("loop", {"bar": BAR, "samples": NUM_SAMPLES, "threads": THREADS, **figures})


def measure(folder: Path, batch_size: int) -> Any:
    config = TrainingConfig(
        epochs=1000, batch_size=batch_size, num_workers=0, min_snr_db=0.0, early_stop_patience=0, dropout_rate=0.0
    )
    make_repeatable(THREADS)
    found = survey(open_dataset(folder))
    dataset = DatasetFolder(id="loop", name="loop", path=folder, sha256="")
    selection = select(found.mean_snr_db, dataset, config)
    train = LocalizationSamples(folder, selection.train, found.area, mirror_seed=config.seed)
    val = LocalizationSamples(folder, selection.val, found.area)
    context = Quiet(folder=folder, config=config.model_dump(), threads=THREADS)
    task = LocalizationTask(context, config, "triangulation", survey=found, train_samples=train, val_samples=val)
    loop = Loop(context, config, task)
    loop.prepare()

    def ours() -> float:
        start = time.perf_counter()
        loop.run_epoch(loop.epoch + 1)
        return time.perf_counter() - start

    return paired(ours, by_hand(config, train, val, found), pairs=PAIRS)


def by_hand(config: TrainingConfig, train: LocalizationSamples, val: LocalizationSamples, found: Any) -> Any:
    """What one would write for this model alone: shuffle, step, validate; no checkpoints, no resuming, no reports."""
    torch.manual_seed(config.seed)
    model = Triangulation(config.dropout_rate)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )

    def loader(samples: LocalizationSamples, *, shuffle: bool) -> Any:
        return DataLoader(Plain(samples), batch_size=config.batch_size, shuffle=shuffle, collate_fn=to_tensors)

    train_loader, val_loader = loader(train, shuffle=True), loader(val, shuffle=False)

    def epoch() -> float:
        start = time.perf_counter()
        model.train()
        for batch in train_loader:
            optimizer.zero_grad()
            loss = gaussian_nll(*split_gaussian(model(batch)), batch["target"])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
        model.eval()
        total = torch.zeros(())
        with torch.no_grad():
            for batch in val_loader:
                total += gaussian_nll(*split_gaussian(model(batch)), batch["target"])
        assert np.isfinite(float(total))
        return time.perf_counter() - start

    return epoch


class Plain:
    def __init__(self, samples: LocalizationSamples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indexes: list[int]) -> Any:
        return self.samples.__getitems__([(1, index) for index in indexes])


def to_tensors(batch: Any) -> Any:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


if __name__ == "__main__":
    main()
