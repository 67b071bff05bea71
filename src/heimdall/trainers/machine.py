# pyright: reportUnknownMemberType=false
"""The machine a job trains on: the device asked for, settings that make results repeatable, and its description."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal, Protocol

import torch
from lightning_fabric import Fabric

from heimdall.domain.errors import InvalidConfigError

LIBRARIES = ("torch", "numpy", "lightning-fabric", "transformers")
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
    if config.devices > 1:
        raise InvalidConfigError(
            f"devices: this version trains a job on one device, not {config.devices}; set devices to 1."
        )
    is_gpu = has_gpu and config.accelerator != "cpu"
    if config.precision == "16" and not is_gpu:
        raise InvalidConfigError('precision: "16" needs a GPU and this job has none; use "bf16" or "32".')
    return is_gpu


def open_fabric(config: MachineConfig) -> Fabric:
    """Fabric on the device the config asks for, or InvalidConfigError."""
    accelerator = "cuda" if uses_gpu(config) else "cpu"
    return Fabric(accelerator=accelerator, devices=1, precision=FABRIC_PRECISION[config.precision])


def make_repeatable(threads: int) -> None:
    """Same input, same bits: fixed threads, deterministic kernels only, full float32 products."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def describe(device: torch.device) -> dict[str, Any]:
    """What bits depend on beside config and data. Plain values."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "device": name,
        "num_devices": 1,
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
