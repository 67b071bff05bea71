"""Pause, resume, cancel, retry and clone of real jobs, and what happens when they meet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx2
import pytest

from tests.e2e.service import RunningService
from tests.e2e.small_jobs import slow, small

pytestmark = pytest.mark.team

POSSIBLE_FROM = {
    "pause": {"running"},
    "resume": {"paused"},
    "cancel": {"pending", "queued", "running", "paused"},
    "retry": {"failed", "cancelled"},
}


def at_once(call: Callable[[], httpx2.Response], times: int) -> list[httpx2.Response]:
    barrier = Barrier(times)

    def go(_: int) -> httpx2.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(go, range(times)))


def paused_job(service: RunningService, config: dict[str, object]) -> str:
    job_id = service.submit(config)
    service.wait_job(job_id, lambda job: job["status"] == "running", what="it runs")
    service.act(job_id, "pause")
    service.wait_job(job_id, lambda job: job["status"] == "paused", what="it pauses")
    return job_id


def test_a_pause_before_the_first_epoch_ends_and_two_resumes_at_once(
    shared_service: RunningService, dataset_id: str
) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=3))
    with shared_service.frozen(job_id):
        asked = shared_service.act(job_id, "pause")
        assert (asked["status"], asked["requested"], asked["current_epoch"]) == ("running", "pause", 0)
        assert "when the current epoch is complete" in asked["message"]
        assert shared_service.act(job_id, "pause") == asked
    paused = shared_service.wait_job(job_id, lambda job: job["status"] == "paused", what="it pauses")
    assert (paused["current_epoch"], paused["requested"]) == (1, None)
    assert paused["pause_checkpoint_path"] == "checkpoints/pause_checkpoint.pth"

    answers = at_once(lambda: shared_service.api.post(f"/jobs/{job_id}/resume"), 2)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    won, lost = sorted(answers, key=lambda answer: answer.status_code)
    assert (won.json()["status"], won.json()["resume_epoch"]) == ("queued", 2)
    assert won.json()["celery_task_id"] != paused["celery_task_id"]
    assert "paused" in lost.json()["detail"]
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["pause_checkpoint_path"]) == ("completed", 2, None)
    names = [event["event"] for event in shared_service.events(job_id)]
    assert (names.count("training:resumed"), names.count("training:started")) == (1, 2)


def test_a_pause_taken_back_before_the_worker_has_stopped(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=2))
    with shared_service.frozen(job_id):
        shared_service.act(job_id, "pause")
        back = shared_service.act(job_id, "resume")
        assert (back["status"], shared_service.job(job_id)["requested"]) == ("running", None)
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 1)
    asked = [event["data"]["requested"] for event in shared_service.events(job_id) if "requested" in event["event"]]
    assert asked == ["pause", None]


def test_a_pause_in_the_last_epoch_completes(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=2, batch_size=1))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] == 1, what="the last epoch")
    with shared_service.frozen(job_id):
        assert shared_service.act(job_id, "pause")["current_epoch"] == 1
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["requested"], job["attempt"]) == ("completed", None, 1)


def test_cancel_while_pausing_and_retry_after_it(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(slow(dataset_id, epochs=6))
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    with shared_service.frozen(job_id):
        shared_service.act(job_id, "pause")
        assert shared_service.act(job_id, "cancel")["requested"] == "cancel"
        assert shared_service.act(job_id, "cancel")["requested"] == "cancel"
        for refused in ("pause", "resume"):
            assert shared_service.api.post(f"/jobs/{job_id}/{refused}").status_code == 409
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["reason"], job["pause_checkpoint_path"]) == ("cancelled", "cancelled_by_user", None)
    epochs = job["current_epoch"]
    assert epochs < 6

    again = shared_service.act(job_id, "retry")
    assert (again["status"], again["resume_epoch"]) == ("queued", epochs + 1)
    assert shared_service.job(job_id)["completed_at"] is None
    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 2, 0)
    rows = shared_service.api.get(f"/jobs/{job_id}/metrics").json()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_a_cancelled_queued_job_never_starts(shared_service: RunningService, dataset_id: str) -> None:
    first = shared_service.submit(slow(dataset_id, epochs=1000))
    shared_service.wait_job(first, lambda job: job["status"] == "running", what="it runs")
    second, third = (shared_service.submit(small(dataset_id, epochs=1)) for _ in range(2))
    cancelled = shared_service.act(second, "cancel")
    assert (cancelled["status"], cancelled["requested"]) == ("cancelled", None)
    shared_service.act(first, "cancel")
    assert shared_service.wait_ended(third)["status"] == "completed"
    job = shared_service.job(second)
    assert (job["status"], job["attempt"], job["started_at"]) == ("cancelled", 0, None)
    names = [event["event"] for event in shared_service.events(second)]
    assert names == ["training:created", "training:queued", "training:completed"]


def test_a_clone_takes_overrides_and_is_a_job_of_its_own(shared_service: RunningService, dataset_id: str) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=1, seed=3, lr_scheduler="plateau"), tags=["a"])
    clone = shared_service.act(job_id, "clone", {"job_name": "more", "config": {"epochs": 2}})
    assert (clone["job_name"], clone["parent_job_id"], clone["tags"]) == ("more", job_id, ["a"])
    assert clone["config"] == {**shared_service.job(job_id)["config"], "epochs": 2}
    job = shared_service.wait_ended(clone["id"])
    assert (job["status"], job["current_epoch"]) == ("completed", 2)
    first = [shared_service.api.get(f"/jobs/{one}/metrics").json()[0]["train_loss"] for one in (job_id, clone["id"])]
    assert first[0] == first[1]  # their first epochs are the same function of the same seed


def test_every_other_status_answers_409_and_changes_nothing(shared_service: RunningService, dataset_id: str) -> None:
    service = shared_service
    jobs = {
        "completed": service.submit(small(dataset_id, epochs=1)),
        "failed": service.submit(small(dataset_id, min_snr_db=100.0)),  # no sample is so loud
    }
    for status, job_id in jobs.items():
        assert service.wait_ended(job_id)["status"] == status
    jobs["paused"] = paused_job(service, slow(dataset_id, epochs=1000))
    jobs["running"] = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(jobs["running"], lambda job: job["status"] == "running", what="it runs")
    jobs["queued"] = service.submit(small(dataset_id))
    jobs["cancelled"] = service.submit(small(dataset_id))
    service.act(jobs["cancelled"], "cancel")
    asked_twice = {"cancelled": "cancel", "paused": "pause"}
    for status, action in asked_twice.items():
        seq = service.job(jobs[status])["event_seq"]
        assert service.act(jobs[status], action)["status"] == status
        assert service.job(jobs[status])["event_seq"] == seq

    for status, job_id in jobs.items():
        for action, possible in POSSIBLE_FROM.items():
            if status in possible or asked_twice.get(status) == action:
                continue
            answer = service.api.post(f"/jobs/{job_id}/{action}")
            assert answer.status_code == 409, (status, action, answer.text)
            assert all(word in answer.json()["detail"] for word in {status, *possible}), answer.text
            assert service.job(job_id)["status"] == status
    for status in ("queued", "running", "paused"):
        service.act(jobs[status], "cancel")
        assert service.wait_ended(jobs[status])["status"] == "cancelled"
    answer = service.act(jobs["failed"], "retry")
    assert (answer["status"], answer["resume_epoch"]) == ("queued", 1)
    assert service.wait_ended(jobs["failed"])["attempt"] == 2
