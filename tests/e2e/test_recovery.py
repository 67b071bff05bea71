"""Jobs whose process is killed, stopped, or finds its checkpoints damaged."""

import os
import signal
from pathlib import Path

import obstore
import psutil
import pytest

from tests.e2e.service import RunningService, wait_until
from tests.e2e.small_jobs import slow, small, without_times

pytestmark = pytest.mark.team


def damage(service: RunningService, key: str, how: str) -> None:
    content = bytearray(obstore.get(service.objects, key).bytes())
    content[len(content) // 2] ^= 1
    obstore.delete(service.objects, key)
    if how != "missing":
        obstore.put(service.objects, key, bytes(content if how == "flipped" else content[:-1]))


def keys(service: RunningService, job_id: str, name: str) -> dict[int, str]:
    """The files of that name, by epoch."""
    found = [Path(key) for key in service.keys(job_id)]
    return {int(key.parent.name[1:]): str(key) for key in found if key.name == name}


def rows(service: RunningService, job_id: str, attempt: int | None = None) -> list[dict[str, object]]:
    params = {} if attempt is None else {"attempt": attempt}
    return service.api.get(f"/jobs/{job_id}/metrics", params=params).json()


def test_a_killed_job_trains_again_within_twenty_seconds(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=4))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    assert shared_service.kill_job(job_id)

    def trains_again() -> bool:
        data = [event["data"] for event in shared_service.events(job_id) if event["event"] == "training:phase"]
        return any(one["phase"] == "training" and one["attempt"] == 2 for one in data)

    wait_until(trains_again, seconds=20, what="it trains again")
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 2, 1)
    assert [row["epoch"] for row in rows(shared_service, job_id)] == [1, 2, 3, 4]
    (line,) = job["warnings"]
    assert line.startswith("Attempt 1 was lost (the job's process was ended by SIGKILL); it goes on with epoch ")


def test_losses_without_progress_come_to_an_end_with_every_cause(
    shared_service: RunningService, dataset_id: str
) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=2), max_restarts=1)
    for attempt in (1, 2):
        wait_running(shared_service, job_id, attempt)
        wait_until(lambda: shared_service.kill_job(job_id), seconds=20, what="it has a process")
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["reason"], job["restarts"]) == ("failed", "restarts_exhausted", 1)
    assert "2 times in a row" in job["error_message"]
    assert "SIGKILL" in job["error_message"]
    assert ["SIGKILL" in line for line in job["warnings"]] == [True]
    assert [event["data"]["reason"] for event in recoveries(shared_service, job_id)] == ["worker_lost"]


def wait_running(service: RunningService, job_id: str, attempt: int) -> None:
    service.wait_job(job_id, lambda job: (job["attempt"], job["status"]) == (attempt, "running"), what="it runs")


def recoveries(service: RunningService, job_id: str) -> list[dict[str, dict[str, object]]]:
    return [event for event in service.events(job_id) if event["event"] == "training:recovered"]


def test_a_process_stopped_past_its_lease_loses_its_job(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=3))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    with shared_service.frozen(job_id) as pid:
        shared_service.wait_job(job_id, lambda job: job["attempt"] == 2, seconds=40, what="another attempt has it")
    wait_until(lambda: not psutil.pid_exists(pid), seconds=20, what="the stopped process is gone")
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 2, 1)
    events = shared_service.events(job_id)
    attempts = [event["attempt"] for event in events]
    assert attempts == sorted(attempts)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [row["epoch"] for row in rows(shared_service, job_id)] == [1, 2, 3]


def test_recovery_passes_over_a_damaged_checkpoint_and_the_curve_is_the_weights(
    shared_service: RunningService, dataset_id: str
) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=5))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 2, what="two epochs")
    with shared_service.frozen(job_id) as pid:
        epoch = shared_service.job(job_id)["current_epoch"]
        damage(shared_service, keys(shared_service, job_id, "last.pth")[epoch], "flipped")
        before = rows(shared_service, job_id)
        os.kill(pid, signal.SIGKILL)
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 2)
    assert f"The checkpoint of epoch {epoch} is damaged; training goes on after epoch {epoch - 1}." in job["warnings"]
    visible = rows(shared_service, job_id)
    assert [(row["epoch"], row["attempt"]) for row in visible] == [
        (number, 1 if number < epoch else 2) for number in range(1, 6)
    ]
    assert rows(shared_service, job_id, attempt=1)[: len(before)] == before  # the abandoned tail stays readable
    assert without_times(visible)[: len(before)] == without_times(before)  # and was trained again bit for bit
    series = {one["name"]: one["points"] for one in shared_service.api.get(f"/jobs/{job_id}/series").json()}
    assert series["train_loss"] == 5 * job["train_samples"] // 2


@pytest.mark.parametrize("how", ["flipped", "cut short", "missing"])
def test_a_damaged_pause_checkpoint_is_refused_and_the_one_before_goes_on(
    shared_service: RunningService, dataset_id: str, how: str
) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=6))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    with shared_service.frozen(job_id):
        shared_service.act(job_id, "pause")
    epoch = shared_service.wait_job(job_id, lambda job: job["status"] == "paused", what="it pauses")["current_epoch"]
    (key,) = keys(shared_service, job_id, "pause_checkpoint.pth").values()
    damage(shared_service, key, how)

    refused = shared_service.api.post(f"/jobs/{job_id}/resume")
    assert refused.status_code == 409
    assert f"the newest good checkpoint is the one of epoch {epoch}" in refused.json()["detail"]
    assert shared_service.job(job_id)["status"] == "paused"
    resumed = shared_service.act(job_id, "resume", {"from": "last_good"})
    assert (resumed["status"], resumed["resume_epoch"]) == ("queued", epoch + 1)
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["current_epoch"]) == ("completed", 6)
    assert (
        f"The pause checkpoint was given up; training went on from the checkpoint of epoch {epoch}." in job["warnings"]
    )
    assert [row["epoch"] for row in rows(shared_service, job_id)] == [1, 2, 3, 4, 5, 6]
