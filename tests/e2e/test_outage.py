"""The database is locked for long, the disk is full."""

import sqlite3
import subprocess
import time
from contextlib import closing

from tests.e2e.service import RunningService
from tests.e2e.small_jobs import slow
from tests.small_disk import small_disk

LOCKED_SECONDS = 60  # four leases


def test_a_database_locked_for_longer_than_a_lease_loses_nothing(
    shared_service: RunningService, dataset_id: str
) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=6))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    with closing(sqlite3.connect(shared_service.database, isolation_level=None, timeout=10)) as intruder:
        intruder.execute("BEGIN EXCLUSIVE")
        before = shared_service.job(job_id)
        time.sleep(LOCKED_SECONDS)  # an outage is a length of time
        assert shared_service.job(job_id)["event_seq"] == before["event_seq"]
        intruder.execute("COMMIT")
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 1, 0)
    rows = shared_service.api.get(f"/jobs/{job_id}/metrics").json()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    series = {one["name"]: one["points"] for one in shared_service.api.get(f"/jobs/{job_id}/series").json()}
    assert series["train_loss"] == 6 * job["train_samples"] // 2
    events = shared_service.events(job_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    checkpoints = [event["data"]["epoch"] for event in events if event["event"] == "training:checkpoint"]
    assert checkpoints == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_fails_the_job_and_room_lets_it_go_on(shared_service: RunningService, dataset_id: str) -> None:
    service = shared_service
    one = service.submit(slow(dataset_id, epochs=1))
    service.wait_ended(one)
    (size, *_) = (entry["size_bytes"] for entry in service.api.get(f"/jobs/{one}/checkpoints").json())

    blocker = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(blocker, lambda job: job["status"] == "running", what="the slot is taken")
    job_id = service.submit(slow(dataset_id, epochs=5))
    with small_disk(service.data_dir / "artifacts" / job_id, size * 5 // 2) as disk:
        service.act(blocker, "cancel")
        job = service.wait_ended(job_id)
        assert (job["status"], job["reason"], job["current_epoch"]) == ("failed", "error", 2)
        assert job["error_message"].startswith("The disk is full: the checkpoint of epoch 3 could not be saved.")
        listed = service.api.get(f"/jobs/{job_id}/checkpoints").json()
        assert {entry["epoch"] for entry in listed} <= {1, 2}
        for entry in listed:  # nothing that is cut short is trusted
            content = service.api.get(f"/jobs/{job_id}/artifacts/{entry['name']}").content
            assert len(content) == entry["size_bytes"]
        subprocess.run(["mount", "-o", f"remount,size={size * 20}", disk], check=True)
        assert service.act(job_id, "retry")["resume_epoch"] == 3
        job = service.wait_ended(job_id)
        assert (job["status"], job["current_epoch"], job["error_message"]) == ("completed", 5, None)
        rows = service.api.get(f"/jobs/{job_id}/metrics").json()
        assert [(row["epoch"], row["attempt"]) for row in rows] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
