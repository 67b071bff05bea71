"""What the driver's program says; here a script that prints what such a program prints."""

from pathlib import Path

import pytest

from heimdall.worker import gpus
from heimdall.worker.system import SystemMeter, as_points

TWO_GPUS = """#!/bin/sh
[ "$2" = --format=csv,noheader,nounits ] || exit 2
case "$1 $3" in
  "--query-gpu=uuid ") printf 'GPU-a\\nGPU-b\\n' ;;
  "--query-gpu=memory.used,utilization.gpu --id=GPU-a,GPU-b") printf '100, 50\\n300, 0\\n' ;;
  "--query-gpu=memory.used,utilization.gpu --id=GPU-b") printf '300, [N/A]\\n' ;;
  *) exit 6 ;;
esac
"""
NOTHING = (None, None)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(TWO_GPUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("given", "expected"), [(None, ["GPU-a", "GPU-b"]), ("GPU-b", ["GPU-b"]), ("0,1", ["0", "1"]), ("", []), ("-1", [])]
)
def test_a_worker_has_what_its_driver_lists_or_what_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: list[str]
) -> None:
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.names() == expected


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("given", "expected"),
    [("GPU-a,GPU-b", (400.0, 25.0)), ("GPU-b", NOTHING), ("GPU-c", NOTHING), ("", NOTHING)],
)
def test_a_job_is_measured_on_the_gpus_it_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: tuple[float | None, float | None]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    sample = SystemMeter().sample()
    assert (sample["gpu_memory_mb"], sample["gpu_utilization"]) == expected
    assert {name for name, _ in as_points(sample)} >= {"system/cpu_percent", "system/memory_mb"}


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.names() == []
    assert gpus.load(["GPU-a"]) is None
