# pyright: reportUnknownMemberType=false
"""Trains the real network on several ranks, or on one, in processes of its own.

`python -m tests.trainers.ranks.training` reads a `Training` as JSON from its input, and is then rank 0.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from typing_extensions import override

from heimdall.datasets.reader import open_dataset
from heimdall.sdk import DatasetFolder, StopTraining, TrainingContext
from heimdall.sdk.testing import FakeContext
from heimdall.trainers import machine
from heimdall.trainers.localization.data import LocalizationSamples, survey
from heimdall.trainers.localization.predict import outputs_of
from heimdall.trainers.localization.triangulation import Triangulation, gaussian_nll, split_gaussian
from heimdall.trainers.loop import Loop
from heimdall.trainers.task import Arrays, Metrics, Split, Step
from heimdall.worker.ranks import Orders, Ranks, die_loudly
from tests.trainers.loop.toy import ToyConfig

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What does not change from attempt to attempt. The network is `Triangulation`, in float64 when `is_double`."""

    epochs: int = 2
    batch_size: int = 16
    num_train: int = 61
    num_val: int = 13
    dropout: float = 0.0
    is_double: bool = False
    loop: dict[str, Any] = field(default_factory=dict[str, Any])  # further fields of the loop's config


@dataclass(frozen=True, kw_only=True)
class Training:
    """One attempt of a job."""

    job: Job
    folder: str
    dataset: str
    devices: int
    pause_at: int | None = None
    stop_at: int | None = None
    from_epoch: int | None = None

    def train(self) -> dict[str, Any]:
        """Its epochs' metrics, points, warnings, and the gradient of its first step."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TORCH_CPP_LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-m", "tests.trainers.ranks.training"]
        told = json.dumps(asdict(self))
        subprocess.run(command, input=told, text=True, check=True, cwd=ROOT, timeout=120, env=env)
        return json.loads(Path(self.folder, "result.json").read_text("utf-8"))


class RankedContext(FakeContext):
    """A FakeContext whose further ranks are real processes."""

    ranks: Ranks

    @override
    def join_ranks(self, devices: int) -> int:
        self.ranks = Ranks(die_loudly)
        return self.ranks.join(devices, self._orders)

    def _orders(self) -> Orders:
        return Orders(
            run="tests.trainers.ranks.training:run",
            job_id=self.job_id,
            attempt=self.attempt,
            config=self.config,
            threads=self.threads,
            model_architecture=None,
            dataset=self.dataset_folder,
            cache_dir=self.folder,
        )


class KeepingFirstGradient(AdamW):
    """Keeps the averaged gradient of the first step, flat."""

    gradient: Tensor | None = None

    @override
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.gradient is None:
            grads = [parameter.grad for group in self.param_groups for parameter in group["params"]]
            self.gradient = torch.cat([grad.flatten() for grad in grads if grad is not None])
        super().step(closure)


class PlainTask:
    """The localisation network without augmentation; metrics tell which samples and draws it saw."""

    def __init__(self, job: Job, path: Path) -> None:
        area = survey(open_dataset(path)).area
        self.job = job
        self.train_samples = LocalizationSamples(path, np.arange(job.num_train), area)
        val = np.arange(job.num_train, job.num_train + job.num_val)
        self.val_samples = LocalizationSamples(path, val, area) if job.num_val else None
        self.optimizer: KeepingFirstGradient | None = None

    def build_model(self, *, is_fresh: bool) -> nn.Module:
        model = Triangulation(self.job.dropout)
        return model.double() if self.job.is_double else model

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        self.optimizer = KeepingFirstGradient(model.parameters())
        return self.optimizer

    def step(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Step:
        kind = torch.float64 if self.job.is_double else torch.float32
        cast = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
        mean, cholesky = split_gaussian(model(cast))
        outputs = {**outputs_of(cast, mean, cholesky), "drawn": torch.rand(len(mean))}
        return Step(gaussian_nll(mean, cholesky, cast["target"]), outputs)

    def metrics(self, split: Split, outputs: Arrays | None) -> Metrics:
        if outputs is None:
            return {}
        return {
            f"{split}_count": float(len(outputs["index"])),
            f"{split}_sum": float(outputs["index"].sum()),
            f"{split}_distinct": float(len(np.unique(outputs["drawn"]))),
        }


def run(context: TrainingContext) -> None:
    """What every rank but the first is told to do."""
    train(context, int(os.environ["WORLD_SIZE"]))


def train(context: TrainingContext, devices: int) -> PlainTask:
    machine.cpu_count = lambda: 8  # more ranks than cores are slow, not wrong
    job = Job(**context.config)
    task = PlainTask(job, context.dataset().path)
    config = ToyConfig(
        epochs=job.epochs, batch_size=job.batch_size, devices=devices, learning_rate=1e-3, max_grad_norm=1e9, **job.loop
    )
    Loop(context, config, task).run()
    return task


def main() -> None:
    training = TypeAdapter(Training).validate_json(sys.stdin.read())
    context = RankedContext(
        folder=Path(training.folder),
        config=asdict(training.job),
        dataset_folder=DatasetFolder(id="d", name="d", path=Path(training.dataset), sha256=""),
        pause_at=training.pause_at,
        stop_at=training.stop_at,
        from_epoch=training.from_epoch,
    )
    gradient: Tensor | None = None
    try:
        task = train(context, training.devices)
        assert task.optimizer is not None
        gradient = task.optimizer.gradient
    except StopTraining:
        context.drain()
    result: dict[str, Any] = {
        "metrics": context.metrics,
        "points": context.points,
        "warnings": context.warnings,
        "gradient": None if gradient is None else gradient.tolist(),
    }
    Path(training.folder, "result.json").write_text(json.dumps(result), "utf-8")
    context.ranks.close()
    os._exit(0)


if __name__ == "__main__":
    main()
