"""What the kernel's count of memory kills means for a process that was killed."""

from pathlib import Path

import pytest

from heimdall.worker import verdict
from heimdall.worker.verdict import MemoryKills


def test_a_look_between_a_kill_and_its_verdict_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("oom 0\noom_kill 3\n")

    def cgroup_files(pid: int) -> list[Path]:
        return [counter]

    monkeypatch.setattr(verdict, "_cgroup_files", cgroup_files)
    kills = MemoryKills(1)
    assert not kills.have_risen()
    counter.write_text("oom 1\noom_kill 4\n")
    kills.refresh()
    assert kills.have_risen()
    kills.refresh()
    assert not kills.have_risen()
