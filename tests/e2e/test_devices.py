"""Real jobs on two devices: equal to each other bit for bit, whatever happens to them."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.record import Record, assert_same_files, assert_whole_log, record
from tests.e2e.service import RunningService
from tests.e2e.small_jobs import slow, small
from tests.e2e.test_verify import verify
from tests.services.team import TeamService

CONFIG: dict[str, Any] = {"devices": 2, "accelerator": "cpu", "epochs": 5}


def test_whatever_happens_to_a_job_on_two_devices_changes_no_bit(
    shared_service: RunningService, dataset_id: str, tmp_path: Path
) -> None:
    """Killed with all its processes, then one of them alone, then paused and resumed."""
    service = shared_service
    reference, twin = (service.submit(slow(dataset_id, **CONFIG)) for _ in range(2))
    expected = record_of(service, reference)
    assert record_of(service, twin) == expected
    assert_same_files(service, twin, reference, tmp_path)

    disturbed = service.submit(slow(dataset_id, **CONFIG))
    wait_epochs(service, disturbed, 1, attempt=1)
    os.killpg(service.job_processes()[disturbed], signal.SIGKILL)
    wait_epochs(service, disturbed, 2, attempt=2)
    (second,) = psutil.Process(service.job_processes()[disturbed]).children()
    second.kill()
    wait_epochs(service, disturbed, 3, attempt=3)
    service.act(disturbed, "pause")
    service.wait_job(disturbed, lambda job: job["status"] == "paused", what="it pauses")
    service.act(disturbed, "resume")

    assert record_of(service, disturbed) == expected
    assert_same_files(service, disturbed, reference, tmp_path)
    assert_whole_log(service, disturbed)
    assert service.job(disturbed)["attempt"] == 4
    assert_nothing_left(disturbed)


def test_a_job_on_two_devices_can_be_verified(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, **{**CONFIG, "epochs": 2, "num_workers": 2}))
    record_of(shared_service, job_id)
    certificate = shared_service.api.get(f"/jobs/{job_id}/certificate").json()
    machines = [link["manifest"]["machine"] for link in certificate["checkpoints"]]
    threads = max(1, (os.cpu_count() or 1) // 2)
    assert [(machine["num_devices"], machine["threads"]) for machine in machines] == [(2, threads)] * 2
    found = verify(shared_service, job_id)
    assert (found.returncode, found.stdout, found.stderr) == (0, "epoch 2: identical\n", "")
    assert_nothing_left(job_id)


def record_of(service: RunningService, job_id: str) -> Record:
    job = service.wait_ended(job_id)
    assert (job["status"], job["error_message"]) == ("completed", None)
    return record(service, job_id)


def wait_epochs(service: RunningService, job_id: str, epochs: int, *, attempt: int) -> None:
    service.wait_job(
        job_id,
        lambda job: job["attempt"] == attempt and job["current_epoch"] >= epochs and job["phase"] == "training",
        what=f"attempt {attempt} reaches epoch {epochs}",
    )


def assert_nothing_left(job_id: str) -> None:
    """No process shows the job in its title."""
    titles = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [title for title in titles if title.startswith("heimdall ") and job_id in title] == []


@pytest.mark.team
def test_a_job_for_more_gpus_than_anyone_has_is_refused_where_none_can_come_and_waits_where_one_may(
    shared_service: RunningService, dataset_id: str
) -> None:
    job_id = shared_service.submit(small(dataset_id), resources={"gpus": 1000})
    if isinstance(shared_service, TeamService):
        job = shared_service.wait_job(job_id, lambda job: bool(job["warnings"]), what="it is warned")
        assert job["status"] == "queued"
        assert job["warnings"] == ["The job waits: no live worker has the 1000 GPU(s) it needs."]
        assert [event["event"] for event in shared_service.events(job_id)].count("training:warning") == 1
        shared_service.act(job_id, "cancel")
    else:
        job = shared_service.wait_ended(job_id)
        assert (job["status"], job["reason"], job["warnings"]) == ("failed", "invalid_config", [])
        assert "needs 1000 GPU(s)" in job["error_message"]
