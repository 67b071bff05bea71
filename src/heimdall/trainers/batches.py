# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""An epoch's batches on their way to the device, and what comes back from it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import cpu_count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from setproctitle import getproctitle, setproctitle
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from heimdall.trainers.group import Group
from heimdall.trainers.seeding import EpochBatches, Place, own_generator
from heimdall.trainers.task import Arrays, LoopConfig, Samples, Step

LOSSES, SIZES = "batch losses", "batch sizes"


@dataclass(frozen=True, slots=True)
class Batch:
    """This rank's part of a batch: `num_own` of its `num_all` samples (with 0 of them, one that does not count)."""

    tensors: Mapping[str, Tensor]
    num_own: int
    num_all: int


class Batches:
    """Samples in batches, epoch by epoch: shuffled by (seed, epoch), or in order."""

    def __init__(self, samples: Samples, config: LoopConfig, group: Group, *, shuffle: bool) -> None:
        num_workers = -(-min(config.num_workers, cpu_count() or 1) // config.devices)
        self._sampler = EpochBatches(
            len(samples),
            config.batch_size,
            shuffle_seed=config.seed if shuffle else None,
            rank=group.rank,
            num_ranks=group.size,
        )
        self._loader: DataLoader[Any] = DataLoader(
            _LoaderView(samples),
            batch_sampler=self._sampler,
            num_workers=num_workers,
            collate_fn=_as_it_is,
            generator=own_generator(config.seed),
            persistent_workers=num_workers > 0,
            worker_init_fn=_name_loader,
        )

    def __len__(self) -> int:
        return len(self._sampler)

    def of_epoch(self, epoch: int, device: torch.device) -> Iterator[Batch]:
        self._sampler.epoch = epoch
        for arrays, sizes in zip(self._loader, self._sampler.sizes(), strict=True):
            yield Batch({name: torch.from_numpy(array).to(device) for name, array in arrays.items()}, *sizes)


class _LoaderView(Dataset[Any]):
    """Samples as a DataLoader wants them."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, places: Sequence[Place]) -> Arrays:
        return self._samples.__getitems__(places)


def _name_loader(_: int) -> None:
    """One process shows as a job's `run-job`; the loaders it forks show as what they are."""
    setproctitle(re.sub(r"^heimdall (run-job|rank \d+ of)", "heimdall loader", getproctitle()))


def _as_it_is(batch: Any) -> Any:
    return batch


@dataclass(frozen=True, slots=True)
class Outcome:
    """An epoch over all samples: their mean loss, and what `Task.metrics` needs (first axis: the sample)."""

    mean_loss: float
    outputs: Arrays


class Results:
    """An epoch's losses and outputs, left on the device until the epoch has ended."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._losses: list[Tensor] = []
        self._outputs: list[Mapping[str, Tensor]] = []

    def add(self, result: Step, num_own: int) -> None:
        if num_own:
            self._sizes.append(num_own)
            self._losses.append(result.loss.detach())
            self._outputs.append({name: output.detach() for name, output in result.outputs.items()})

    def outcome(self, group: Group) -> Outcome | None:
        """Summed in float64 in the order of ranks, then batches. None for every rank but the first."""
        parts = [part for part in group.gather(self._arrays()) if part]
        if not parts:
            return None
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        losses, sizes = whole.pop(LOSSES), whole.pop(SIZES)
        return Outcome(float((losses * sizes).sum() / sizes.sum()), whole)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing for a rank without samples."""
        if not self._sizes:
            return {}
        outputs = {name: torch.cat([some[name] for some in self._outputs]).cpu().numpy() for name in self._outputs[0]}
        losses = torch.stack(self._losses).double().cpu().numpy()
        return {**outputs, LOSSES: losses, SIZES: np.array(self._sizes, dtype=np.float64)}
