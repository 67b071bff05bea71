import random
from typing import Any

import numpy as np
import torch

from heimdall.trainers.seeding import EpochBatches, own_generator, reseed


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def test_reseeding_makes_all_three_generators_a_function_of_seed_epoch_and_rank() -> None:
    places = [(1, 1, 0), (1, 2, 0), (2, 1, 0), (1, 1, 1)]
    seen: list[tuple[float, float, float]] = []
    for place in places:
        reseed(*place)
        seen.append(draws())
    reseed(1, 1, 0)
    assert draws() == seen[0]
    for source in zip(*seen, strict=True):
        assert len(set(source)) == len(places)


def batches(seed: int | None, epoch: int) -> list[list[tuple[int, int]]]:
    sampler = EpochBatches(10, 4, shuffle_seed=seed)
    sampler.epoch = epoch
    return list(sampler)


def test_each_epoch_shows_every_sample_once_in_an_order_of_its_own() -> None:
    first, second = batches(7, 1), batches(7, 2)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(place for batch in first for place in batch) == [(1, index) for index in range(10)]
    assert [[index for _, index in batch] for batch in first] != [[index for _, index in batch] for batch in second]
    assert batches(7, 1) == first
    assert batches(8, 1) != first


def test_without_a_seed_samples_come_in_order() -> None:
    assert [index for batch in batches(None, 3) for _, index in batch] == list(range(10))
    assert len(EpochBatches(10, 4)) == 3


def test_a_loader_with_its_own_generator_draws_nothing_from_the_global_one() -> None:
    reseed(1, 1)
    expected = torch.rand(())
    reseed(1, 1)
    numbers: Any = [1, 2, 3]
    loader: Any = torch.utils.data.DataLoader(numbers, generator=own_generator(0))
    iter(loader)
    assert torch.rand(()) == expected
