# pyright: reportUnknownMemberType=false
"""A small task with dropout for the training loop: noisy points on a plane."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from heimdall.sdk.testing import FakeContext
from heimdall.trainers import checkpoint
from heimdall.trainers.loop import Loop, Trained
from heimdall.trainers.seeding import Place
from heimdall.trainers.task import Arrays, Metrics, Samples, Split, Step


@dataclass(frozen=True)
class ToyConfig:
    epochs: int = 4
    learning_rate: float = 0.01
    lr_scheduler: Literal["cosine", "step", "plateau"] = "cosine"
    warmup_epochs: int = 1
    early_stop_patience: int = 0
    early_stop_delta: float = 0.0
    accelerator: Literal["auto", "gpu", "cpu"] = "cpu"
    devices: int = 1
    precision: Literal["32", "bf16", "16"] = "32"
    batch_size: int = 8
    num_workers: int = 0
    max_grad_norm: float = 1.0
    keep_every: int = 0
    seed: int = 3


class ToySamples:
    """With `jitter` each sample is moved anew each epoch."""

    def __init__(self, num_samples: int, *, jitter: bool = False) -> None:
        generator = np.random.default_rng(num_samples)
        self.inputs = generator.normal(size=(num_samples, 3)).astype(np.float32)
        self.targets = (self.inputs @ np.array([1.0, -2.0, 0.5], dtype=np.float32))[:, None]
        self.jitter = jitter

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitems__(self, places: Sequence[Place]) -> Arrays:
        index = np.array([index for _, index in places])
        inputs = self.inputs[index]
        if self.jitter:
            moved = [np.random.default_rng(place).normal(size=3, scale=0.1) for place in places]
            inputs = inputs + np.array(moved, dtype=np.float32)
        return {"inputs": inputs, "targets": self.targets[index], "index": index}


class ToyTask:
    """`val_losses` replaces the validation loss of epoch 1, 2, … by given numbers."""

    def __init__(
        self, *, num_train: int = 20, num_val: int = 6, val_losses: Sequence[float] = (), dropout: float = 0.3
    ) -> None:
        self.train_samples: Samples = ToySamples(num_train, jitter=True)
        self.val_samples: Samples | None = ToySamples(num_val) if num_val else None
        self.val_losses = val_losses
        self.dropout = dropout
        self.num_validations = 0
        self.seen: list[list[int]] = []
        self.fresh: list[bool] = []

    def build_model(self, *, is_fresh: bool) -> nn.Module:
        self.fresh.append(is_fresh)
        return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(8, 1))

    def build_optimizer(self, model: nn.Module) -> Optimizer:
        return AdamW(model.parameters())

    def step(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Step:
        loss = nn.functional.mse_loss(model(batch["inputs"]), batch["targets"])
        if not model.training and self.val_losses:
            loss = torch.tensor(self.val_losses[self.num_validations])
        return Step(loss, {"index": batch["index"]})

    def metrics(self, split: Split, outputs: Arrays | None) -> Metrics:
        if split == "train":
            assert outputs is not None
            self.seen.append(outputs["index"].tolist())
        else:
            self.num_validations += 1
        return {f"{split}_count": None if outputs is None else float(len(outputs["index"]))}


def context_of(folder: Path, config: ToyConfig, **options: Any) -> FakeContext:
    return FakeContext(folder=folder, config=vars(config), **options)


def run(context: FakeContext, config: ToyConfig, task: ToyTask | None = None) -> Trained:
    return Loop(context, config, task or ToyTask()).run()


def saved(context: FakeContext, epoch: int) -> dict[str, Any]:
    return checkpoint.load(context.checkpoint_path(epoch))


def digest(content: Mapping[str, Any]) -> str:
    """Of everything in a checkpoint."""
    return checkpoint.sha256_of(content)
