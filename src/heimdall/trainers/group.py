# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The processes that train one job together. Rank 0 decides, the others follow."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn

from heimdall.sdk import StopTraining, TrainingContext
from heimdall.trainers.machine import LONGEST_WAIT

T = TypeVar("T")


class Group:
    """All calls but `weigh` are made by every rank at the same place of the loop. One process alone does nothing."""

    def __init__(self, fabric: Fabric) -> None:
        self.rank = fabric.global_rank
        self.size = fabric.world_size
        self._device = fabric.device
        # On GPUs too decisions go over gloo: they must not wait for what the devices compute.
        self._talk: Any = dist.new_group(backend="gloo", timeout=LONGEST_WAIT) if self.size > 1 else None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def raise_if_stopped(self, context: TrainingContext) -> None:
        """Raises: StopTraining, in every rank at the same batch."""
        if self.size == 1:
            context.raise_if_stopped()
            return
        is_stopped = torch.zeros(1, dtype=torch.uint8)
        try:
            context.raise_if_stopped()
        except StopTraining:
            is_stopped += 1
        dist.broadcast(is_stopped, 0, group=self._talk)
        if is_stopped.item():
            raise StopTraining

    def share(self, decide: Callable[[], T]) -> T:
        """What rank 0 decides: a value that JSON can hold."""
        if self.size == 1:
            return decide()
        octets = np.frombuffer(json.dumps(decide()).encode() if self.is_first else b"", dtype=np.uint8)
        length = torch.tensor([len(octets)])
        dist.broadcast(length, 0, group=self._talk)
        told = torch.zeros(int(length), dtype=torch.uint8)
        told[: len(octets)] = torch.from_numpy(octets.copy())
        dist.broadcast(told, 0, group=self._talk)
        return json.loads(told.numpy().tobytes())

    def share_buffers(self, model: nn.Module) -> None:
        """Every rank gets rank 0's buffers, which are those that checkpoints hold."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def gather(self, arrays: Mapping[str, npt.NDArray[Any]]) -> list[Mapping[str, npt.NDArray[Any]]]:
        """Every rank's arrays in the order of ranks, for rank 0; nothing for the others."""
        if self.size == 1:
            return [arrays]
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        octets = torch.frombuffer(bytearray(packed.getvalue()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(octets)]), group=self._talk)
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(octets)] = octets
        found = [torch.zeros_like(padded) for _ in range(self.size)] if self.is_first else None
        dist.gather(padded, found, 0, group=self._talk)
        parts = zip(found or [], lengths, strict=False)
        return [_unpacked(part[: int(length)].numpy().tobytes()) for part, length in parts]

    def weigh(self, loss: Tensor, num_own: int, num_all: int) -> Tensor:
        """A rank's mean loss over `num_own` of a batch's `num_all` samples, so weighted that the mean of the ranks'
        gradients is the gradient of the mean over the batch."""
        return loss if num_own * self.size == num_all else loss * (num_own * self.size / num_all)

    def mean(self, loss: Tensor, num_own: int, num_all: int) -> Tensor:
        """The mean loss over the whole batch, from each rank's mean over its part."""
        if self.size == 1:
            return loss
        total = loss.double() * (num_own / num_all)
        dist.all_reduce(total)
        return total


def _unpacked(octets: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(octets), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
