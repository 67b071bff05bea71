"""What a trainer gives the training loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy.typing as npt
from torch import Tensor, nn
from torch.optim import Optimizer

from heimdall.trainers.machine import MachineConfig
from heimdall.trainers.schedule import ScheduleConfig
from heimdall.trainers.seeding import Place

Split = Literal["train", "val"]
Arrays = Mapping[str, npt.NDArray[Any]]
Metrics = dict[str, float | None]


class LoopConfig(MachineConfig, ScheduleConfig, Protocol):
    """The fields of a trainer's config on which the loop acts."""

    @property
    def batch_size(self) -> int: ...
    @property
    def num_workers(self) -> int: ...
    @property
    def max_grad_norm(self) -> float: ...
    @property
    def keep_every(self) -> int: ...
    @property
    def seed(self) -> int: ...


class Samples(Protocol):
    """Samples read in batches. Loader processes call it: it reads memory-mapped NumPy and uses no torch."""

    def __len__(self) -> int: ...

    def __getitems__(self, places: Sequence[Place]) -> Arrays:
        """One batch: arrays whose first axis is the sample; whatever is random is a function of (epoch, index)."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A batch's mean loss, and per sample whatever `Task.metrics` needs (first axis: the sample)."""

    loss: Tensor
    outputs: Mapping[str, Tensor]


class Task(Protocol):
    """What a trainer gives the loop."""

    @property
    def train_samples(self) -> Samples: ...
    @property
    def val_samples(self) -> Samples | None: ...

    def build_model(self, *, is_fresh: bool) -> nn.Module:
        """The network; with `is_fresh` its first weights matter, else a checkpoint replaces them."""
        ...

    def build_optimizer(self, model: nn.Module) -> Optimizer: ...

    def step(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Step: ...

    def metrics(self, split: Split, outputs: Arrays | None) -> Metrics:
        """An epoch's figures by their full names; None for all of them without outputs."""
        ...
