"""The GPUs of this machine, as its driver's `nvidia-smi` tells of them; CUDA itself is not loaded."""

import os
import shutil
import subprocess
from collections.abc import Sequence

ANSWER_SECONDS = 30


def names() -> list[str]:
    """Identifiers as `CUDA_VISIBLE_DEVICES` takes them: those of that variable, else all that the driver knows."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name not in {"", "-1"}]
    return [name for (name,) in _ask("uuid")]


def load(of: Sequence[str]) -> tuple[float, float] | None:
    """MB used on these GPUs together and their mean utilization in percent; None when the driver does not tell."""
    rows = _ask("memory.used,utilization.gpu", f"--id={','.join(of)}") if of else []
    try:
        figures = [(float(used), float(busy)) for used, busy in rows]
    except ValueError:  # "[N/A]": not every GPU measures everything
        return None
    if not figures:
        return None
    return sum(used for used, _ in figures), sum(busy for _, busy in figures) / len(figures)


def _ask(fields: str, *options: str) -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits", *options]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [[field.strip() for field in line.split(",")] for line in answer.stdout.splitlines()]
