"""What trainers build once for all jobs of a machine, and what is left when one is killed at it."""

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heimdall.worker.caches import bound, build_once, folder_name
from tests.worker.place import Gate, Place, wait_until

BUILDER = """
import sys, time
from pathlib import Path
from heimdall.worker.caches import build_once
root, key, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def build(folder):
    (folder / "data").write_bytes(b"x" * 1000)
    (root / "at-work").touch()
    time.sleep(seconds)
build_once(root, key, build)
(root / "done").touch()
time.sleep(600)
"""


@contextmanager
def builder(root: Path, key: str, *, seconds: float) -> Generator[subprocess.Popen[bytes]]:
    """A process that takes `seconds` to build a folder of 1,000 bytes, and then lives on."""
    process = subprocess.Popen([sys.executable, "-c", BUILDER, str(root), key, str(seconds)])
    try:
        wait_until((root / ("done" if seconds == 0 else "at-work")).exists)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def fill(folder: Path) -> None:
    (folder / "data").write_bytes(b"y" * 1000)


def size_of(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("data"))


def test_half_built_folders_go_when_their_process_is_dead(tmp_path: Path) -> None:
    with builder(tmp_path, "a", seconds=600):
        bound(tmp_path, 10_000)
        assert size_of(tmp_path) == 1000
    bound(tmp_path, 10_000)
    assert size_of(tmp_path) == 0


def test_above_the_bound_goes_what_no_living_process_uses(tmp_path: Path) -> None:
    with builder(tmp_path, "used", seconds=0):
        other = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path), "unused", "0"])
        wait_until((tmp_path / "folders" / "unused").exists)
        bound(tmp_path, 0)
        assert size_of(tmp_path) == 2000
        other.kill()
        other.wait()
        bound(tmp_path, 0)
        assert [folder.name for folder in (tmp_path / "folders").iterdir()] == ["used"]
    bound(tmp_path, 0)
    assert size_of(tmp_path) == 0


@pytest.mark.parametrize("key", ["a", "a/b", "..", "", ".hidden", "ü" * 300, "x\0\ud800y"])
def test_any_key_is_a_folder_of_its_own(tmp_path: Path, key: str) -> None:
    folder = build_once(tmp_path, key, fill)
    assert folder.parent == tmp_path / "folders"
    assert build_once(tmp_path, key, lambda _: pytest.fail("it is there already")) == folder
    assert folder_name(key) != folder_name(f"{key}'")


def test_a_starting_loop_moves_what_older_releases_built_and_removes_their_halves(place: Place) -> None:
    root = place.data_dir / "cache"
    for name in ("spectrograms-1", ".spectrograms-2.0123"):
        (root / name).mkdir(parents=True)
        fill(root / name)
    with place.working(cache_bytes=10_000):
        wait_until((root / "folders" / "spectrograms-1").exists)
    assert size_of(root) == 1000
    assert build_once(root, "spectrograms-1", lambda _: pytest.fail("it is there already")).exists()


def test_a_loop_keeps_the_bound_after_each_job(place: Place, gate: Gate) -> None:
    root = place.data_dir / "cache"
    with place.working(cache_bytes=0):
        job = place.submit(epochs=1, gate=gate.path)
        gate.wait_for(1)
        with builder(root, "a", seconds=0):
            pass
        gate.open(1)
        place.wait(job)
        wait_until(lambda: size_of(root) == 0)
