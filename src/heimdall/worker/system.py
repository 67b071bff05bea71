"""What a job takes of its machine."""

import re
from pathlib import Path
from typing import Any

import psutil

MEGABYTE = 1024 * 1024


class SystemMeter:
    """Figures of this process and its children, such as data loader processes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._processes: dict[int, psutil.Process] = {}

    def sample(self) -> dict[str, float | None]:
        """`cpu_percent` (100 is one core), `memory_mb`; the accelerator's figures are None where there is none."""
        cpu_percent, memory = 0.0, 0
        current = {process.pid: process for process in [self._process, *self._process.children(recursive=True)]}
        for pid, process in current.items():
            known = self._processes.setdefault(pid, process)
            try:
                cpu_percent += known.cpu_percent()
                memory += known.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self._processes = {pid: process for pid, process in self._processes.items() if pid in current}
        return {
            "cpu_percent": round(cpu_percent, 1),
            "memory_mb": round(memory / MEGABYTE, 1),
            "gpu_memory_mb": None,
            "gpu_utilization": None,
        }


def as_points(sample: dict[str, Any]) -> list[tuple[str, float]]:
    return [(f"system/{name}", float(value)) for name, value in sample.items() if value is not None]


def detect_devices(folder: Path = Path("/dev")) -> list[str]:
    """The numbers of this machine's NVIDIA devices, as CUDA_VISIBLE_DEVICES takes them."""
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in folder.glob("nvidia*"))
    return sorted((match[1] for match in found if match), key=int)
