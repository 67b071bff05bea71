"""What a job takes of its machine."""

import os
from typing import Any

import psutil

from heimdall.worker import gpus

MEGABYTE = 1024 * 1024


class SystemMeter:
    """Figures of this process and its children, such as data loader processes."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._processes: dict[int, psutil.Process] = {}
        self._gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]

    def sample(self) -> dict[str, float | None]:
        """`cpu_percent` (100 is one core), `memory_mb`; the GPUs' figures are None for a job that was given none."""
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
        gpu_memory, gpu_utilization = gpus.load(self._gpus) or (None, None)
        return {
            "cpu_percent": round(cpu_percent, 1),
            "memory_mb": round(memory / MEGABYTE, 1),
            "gpu_memory_mb": gpu_memory,
            "gpu_utilization": gpu_utilization,
        }


def as_points(sample: dict[str, Any]) -> list[tuple[str, float]]:
    return [(f"system/{name}", float(value)) for name, value in sample.items() if value is not None]
