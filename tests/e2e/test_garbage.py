"""`heimdall gc` on a real data folder, beside a running job."""

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

from heimdall.artifacts.keys import PARTIAL_SUFFIX
from tests.e2e.service import HEIMDALL, RunningService
from tests.e2e.small_jobs import slow
from tests.worker.test_caches import builder

JOBS = "files of jobs and datasets that no row names"
UNKNOWN = "files of jobs and datasets that this database does not know"
ATTEMPTS = "attempts that have ended"
HALF = "caches that were never finished"
OLD = "caches above HEIMDALL_CACHE_GIB"


def gc(service: RunningService, *flags: str) -> dict[str, tuple[int, int]]:
    """Number and size in bytes of each thing that was removed."""
    command = [HEIMDALL, "gc", "--json", "--data-dir", str(service.data_dir), *flags]
    done = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    removed: list[dict[str, Any]] = json.loads(done.stdout)["removed"]
    return {one["what"]: (one["number"], one["size_bytes"]) for one in removed}


def leave(*files: Path) -> set[Path]:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1000)
    return set(files)


def test_it_removes_what_nothing_needs_and_no_more(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    ended = service.submit(slow(dataset_id, epochs=2))
    service.wait_ended(ended)
    running = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(running, lambda job: job["current_epoch"] >= 1, what="an epoch")
    needed = {key: (service.data_dir / "artifacts" / key).read_bytes() for key in service.keys(ended)}
    artifacts, attempts, cache = (service.data_dir / name for name in ("artifacts", "attempts", "cache"))
    unneeded = leave(
        artifacts / ended / "a1" / "e9" / "last.pth",
        artifacts / ended / "a1" / "e9" / f".best.pth.0{PARTIAL_SUFFIX}",
        artifacts / "datasets" / dataset_id / str(uuid4()) / "shard",
    )
    uncommitted = leave(artifacts / running / "a1" / "e5000" / "last.pth")
    unknown = leave(artifacts / str(uuid4()) / "a1" / "e1" / "last.pth")
    foreign = leave(artifacts / "holiday" / "photo.jpg")
    left = leave(attempts / f"{ended}-1.out", attempts / f"{uuid4()}-3.json")
    with builder(cache, "killed", seconds=600):
        pass

    assert gc(service) == {JOBS: (0, 0), ATTEMPTS: (2, 2000), HALF: (1, 1000), OLD: (0, 0)}
    assert not any(file.exists() for file in left)
    leave(*left)
    expected = {JOBS: (3, 3000), UNKNOWN: (1, 1000), ATTEMPTS: (2, 2000), HALF: (0, 0), OLD: (0, 0)}
    assert gc(service, "--hours", "0", "--unknown", "--dry-run") == expected
    assert all(file.exists() for file in unneeded | uncommitted | unknown | foreign | left)
    assert gc(service, "--hours", "0") == {name: found for name, found in expected.items() if name != UNKNOWN}
    assert not any(file.exists() for file in unneeded | left)
    assert all(file.exists() for file in uncommitted | unknown | foreign)
    assert gc(service, "--hours", "0", "--unknown")[UNKNOWN] == (1, 1000)
    assert all(file.exists() for file in uncommitted | foreign)
    assert not any(file.exists() for file in unknown)

    assert {key: (artifacts / key).read_bytes() for key in service.keys(ended)} == needed
    job = service.job(running)
    assert (job["status"], job["attempt"], job["restarts"]) == ("running", 1, 0)
    service.wait_job(running, lambda now: now["current_epoch"] > job["current_epoch"], what="the job goes on")
    service.act(running, "cancel")


def test_where_no_service_has_been_it_makes_nothing(tmp_path: Path) -> None:
    command = [HEIMDALL, "gc", "--data-dir", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert "There is no data of a service in" in done.stderr
    assert list(tmp_path.iterdir()) == []
