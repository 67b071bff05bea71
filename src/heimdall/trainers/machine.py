# pyright: reportUnknownMemberType=false
"""The machine a job trains on: the device asked for, settings that make results repeatable, and its description."""

import logging
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import version
from os import cpu_count
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from heimdall.domain.errors import InvalidConfigError

LIBRARIES = ("torch", "numpy", "scipy", "lightning-fabric", "transformers")
LONGEST_WAIT = timedelta(days=365)  # of one rank for another: a database or a store may be away for long
FABRIC_PRECISION: Mapping[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class MachineConfig(Protocol):
    """The fields of a trainer's config that decide where and in which number format it trains."""

    @property
    def accelerator(self) -> Literal["auto", "gpu", "cpu"]: ...
    @property
    def devices(self) -> int: ...
    @property
    def precision(self) -> Literal["32", "bf16", "16"]: ...


def uses_gpu(config: MachineConfig) -> bool:
    """Whether the job trains on a GPU of this machine.

    Raises:
        InvalidConfigError: this machine cannot do what the config asks for.
    """
    has_gpu = torch.cuda.is_available()
    if config.accelerator == "gpu" and not has_gpu:
        raise InvalidConfigError(
            "accelerator: this machine has no GPU that PyTorch can use; set it to auto or cpu, or start a worker on a "
            "machine with one."
        )
    is_gpu = has_gpu and config.accelerator != "cpu"
    _check_devices(config.devices, is_gpu=is_gpu)
    if config.precision == "16" and not is_gpu:
        raise InvalidConfigError('precision: "16" needs a GPU and this job has none; use "bf16" or "32".')
    return is_gpu


def _check_devices(devices: int, *, is_gpu: bool) -> None:
    """Raises: InvalidConfigError, when there are not so many."""
    if is_gpu and devices > torch.cuda.device_count():
        raise InvalidConfigError(
            f"devices: {devices} are asked for and this job may use {torch.cuda.device_count()} GPU(s); lower devices, "
            "or start a worker on a machine with more."
        )
    if not is_gpu and devices > (cpu_count() or 1):
        raise InvalidConfigError(
            f"devices: {devices} are asked for, and without a GPU that means as many processes on the {cpu_count()} "
            "cores of this machine; lower devices."
        )


def open_fabric(config: MachineConfig, join_ranks: Callable[[int], int] = lambda devices: 1) -> Fabric:
    """Fabric on the devices the config asks for, or InvalidConfigError.

    `join_ranks` is called with their number once they are known to exist; see `TrainingContext.join_ranks`.
    """
    accelerator = "cuda" if uses_gpu(config) else "cpu"
    num_nodes = join_ranks(config.devices)
    precision = FABRIC_PRECISION[config.precision]
    if config.devices * num_nodes == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    fabric = Fabric(
        accelerator=accelerator,
        devices=config.devices,
        num_nodes=num_nodes,
        precision=precision,
        strategy=_data_parallel(),
    )
    fabric.launch()  # connects the ranks, which run already
    return fabric


def _data_parallel() -> DDPStrategy:
    """Looking for unused parameters also keeps the order in which gradients are summed: otherwise it changes after the
    first batch of a process, and a resumed job would end with other bits. Buffers are the loop's affair."""
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # costs a copy, nothing else
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return DDPStrategy(timeout=LONGEST_WAIT, find_unused_parameters=True, forward_sync_buffers=False)


def make_repeatable(threads: int) -> None:
    """Same input, same bits: fixed threads, deterministic kernels only, full float32 products."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def describe(device: torch.device, num_devices: int = 1) -> dict[str, Any]:
    """What bits depend on beside config and data. Plain values; `threads` are those of each device's process."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "num_devices": num_devices,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed between two descriptions, such as `threads was 2, is 1`."""
    old, new = _flat(before), _flat(now)
    return [f"{name} was {old.get(name)}, is {new.get(name)}" for name in new if old.get(name) != new.get(name)]


def _flat(description: Mapping[str, Any]) -> dict[str, Any]:
    libraries: Mapping[str, Any] = description.get("libraries", {})
    return {**{name: value for name, value in description.items() if name != "libraries"}, **libraries}
