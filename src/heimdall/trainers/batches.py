# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""An epoch's batches on their way to the device, and what comes back from it."""

from collections.abc import Iterator, Mapping, Sequence
from os import cpu_count
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from setproctitle import getproctitle, setproctitle
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from heimdall.trainers.seeding import EpochBatches, Place, own_generator
from heimdall.trainers.task import Arrays, LoopConfig, Samples, Step


class Batches:
    """Samples in batches, epoch by epoch: shuffled by (seed, epoch), or in order."""

    def __init__(self, samples: Samples, config: LoopConfig, *, shuffle: bool) -> None:
        num_workers = min(config.num_workers, cpu_count() or 1)
        shuffle_seed = config.seed if shuffle else None
        self._sampler = EpochBatches(len(samples), config.batch_size, shuffle_seed=shuffle_seed)
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

    def of_epoch(self, epoch: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        self._sampler.epoch = epoch
        for batch in self._loader:
            yield {name: torch.from_numpy(array).to(device) for name, array in batch.items()}


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
    setproctitle(getproctitle().replace("heimdall run-job", "heimdall loader"))


def _as_it_is(batch: Any) -> Any:
    return batch


class Results:
    """An epoch's losses and outputs, left on the device until the epoch has ended."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._outputs: list[Mapping[str, Tensor]] = []

    def add(self, result: Step) -> None:
        self._losses.append(result.loss.detach())
        self._outputs.append({name: output.detach() for name, output in result.outputs.items()})

    def mean_loss(self) -> float:
        """Mean over the samples, summed in float64 in the order of the batches."""
        sizes = np.array([len(next(iter(outputs.values()))) for outputs in self._outputs], dtype=np.float64)
        losses = torch.stack(self._losses).double().cpu().numpy()
        return float((losses * sizes).sum() / sizes.sum())

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        names = self._outputs[0]
        return {name: torch.cat([outputs[name] for outputs in self._outputs]).cpu().numpy() for name in names}
