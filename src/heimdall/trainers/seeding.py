# pyright: reportUnknownMemberType=false
"""Everything random is a pure function of (seed, epoch, rank), so that no generator's state needs saving."""

import random
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch.utils.data import Sampler

Place: TypeAlias = tuple[int, int]
"""(epoch, index): what a sampler yields, so that loader workers never hold an epoch."""


def reseed(seed: int, epoch: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (CPU and devices)."""
    words = np.random.SeedSequence([seed, epoch, rank]).generate_state(4, np.uint32)
    random.seed(int(words[0]))
    np.random.seed(words[1:3])  # noqa: NPY002 - libraries below still draw from the global generator
    torch.manual_seed(int(words[3]))


def own_generator(seed: int) -> torch.Generator:
    """A generator for one DataLoader, so that making its iterator draws nothing from the global one."""
    return torch.Generator().manual_seed(seed)


class EpochBatches(Sampler[list[Place]]):
    """Batches of (epoch, index): shuffled by (seed, epoch), or in order without a seed.

    Of `num_ranks` processes each takes its part of every batch, so that all take the same number of steps. A rank
    without a part of a batch computes its first sample all the same; `sizes` says that it does not count.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        shuffle_seed: int | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.shuffle_seed = shuffle_seed
        self.rank = rank
        self.num_ranks = num_ranks
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[list[Place]]:
        order = np.arange(self.num_samples)
        if self.shuffle_seed is not None:
            order = np.random.default_rng([self.shuffle_seed, self.epoch]).permutation(self.num_samples)
        epoch = self.epoch
        for start in range(0, self.num_samples, self.batch_size):
            batch = order[start : start + self.batch_size]
            own = batch[self._part(len(batch))]
            yield [(epoch, index) for index in (own if len(own) else batch[:1]).tolist()]

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Of each batch, how many samples this rank's part has and how many the whole."""
        for start in range(0, self.num_samples, self.batch_size):
            num_all = min(self.batch_size, self.num_samples - start)
            part = self._part(num_all)
            yield part.stop - part.start, num_all

    def _part(self, num_all: int) -> slice:
        return slice(num_all * self.rank // self.num_ranks, num_all * (self.rank + 1) // self.num_ranks)
