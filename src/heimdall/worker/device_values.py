# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Logged tensors of an accelerator: copied without waiting for it, read by the writer's thread."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


class DeviceValues:
    """One stacked copy a device, in the order of its stream: what changes the tensors later does not show.

    Raises (when made): TypeError for a tensor that is not a single real number.
    """

    def __init__(self, named: Sequence[tuple[str, Tensor]]) -> None:
        by_device: dict[torch.device, list[tuple[str, Tensor]]] = {}
        for name, tensor in named:
            if tensor.numel() != 1 or tensor.is_complex():
                raise TypeError(f"'{name}' is a tensor of {tensor.numel()} values of {tensor.dtype}, not a number.")
            by_device.setdefault(tensor.device, []).append((name, tensor.detach().reshape(())))
        self._names = [name for group in by_device.values() for name, _ in group]
        self._copies = [_copied([tensor for _, tensor in group]) for group in by_device.values()]

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Waits until the copies are done. What cannot be read is missing: the training itself meets that error."""
        try:
            values = [value for copy, event in self._copies for value in _read(copy, event)]
        except RuntimeError as error:
            logger.warning("Values of %s could not be read from their device: %s", ", ".join(self._names[:5]), error)
            return iter(())
        return iter(zip(self._names, values, strict=True))


def _copied(tensors: list[Tensor]) -> tuple[Tensor, Any]:
    """Their values on the host, in pinned memory where the copy is still under way, and the event that ends it."""
    device = tensors[0].device
    if len({tensor.dtype for tensor in tensors}) > 1:
        common = torch.float32 if device.type == "mps" else torch.float64
        tensors = [tensor.to(common) for tensor in tensors]
    stacked = torch.stack(tensors)
    if device.type not in {"cuda", "xpu"}:
        return stacked.cpu(), None
    copy = stacked.to("cpu", non_blocking=True)
    event = torch.Event(device)
    event.record()
    return copy, event


def _read(copy: Tensor, event: Any) -> list[float]:
    if event is not None:
        event.synchronize()
    return copy.double().tolist()
