"""Pause, resume, cancel, retry, clone."""

import pytest

from tests.api.client import Api, problem_of
from tests.api.installation import Installation
from tests.api.worker import Run


def test_pause_leaves_the_job_running_until_its_state_is_saved(api: Api, run: Run) -> None:
    run.finish_epoch()
    answer = api.post(f"/jobs/{run.job.id}/pause")
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"job_id", "status", "requested", "current_epoch", "total_epochs", "message"}
    assert (body["status"], body["requested"], body["current_epoch"]) == ("running", "pause", 1)
    assert "current epoch is complete" in body["message"]
    assert api.post(f"/jobs/{run.job.id}/pause").status_code == 200  # twice is fine
    run.pause()
    job = api.get(f"/jobs/{run.job.id}").json()["job"]
    assert (job["status"], job["requested"]) == ("paused", None)
    assert job["pause_checkpoint_path"] == "checkpoints/pause_checkpoint.pth"
    again = api.post(f"/jobs/{run.job.id}/pause")  # by whom the first answer did not reach
    assert (again.status_code, again.json()["status"], again.json()["requested"]) == (200, "paused", None)
    assert again.json()["message"] == "The job is paused."
    assert api.get(f"/jobs/{run.job.id}").json()["job"]["event_seq"] == job["event_seq"]


def paused(api: Api, run: Run) -> str:
    run.finish_epoch()
    api.post(f"/jobs/{run.job.id}/pause")
    run.pause()
    return run.job.id


def test_resume_queues_the_job_again(api: Api, run: Run) -> None:
    job_id = paused(api, run)
    body = api.post(f"/jobs/{job_id}/resume").json()
    assert set(body) == {"job_id", "status", "celery_task_id", "resume_epoch", "total_epochs", "message"}
    assert (body["status"], body["resume_epoch"], body["total_epochs"]) == ("queued", 2, 3)
    assert body["celery_task_id"] not in {None, run.job.celery_task_id}
    problem_of(api.post(f"/jobs/{job_id}/resume"), 409)


def test_resume_takes_a_pause_request_back(api: Api, run: Run) -> None:
    api.post(f"/jobs/{run.job.id}/pause")
    body = api.post(f"/jobs/{run.job.id}/resume", {}).json()
    assert body["status"] == "running"
    assert api.get(f"/jobs/{run.job.id}").json()["job"]["requested"] is None


def test_a_damaged_pause_checkpoint_is_said_and_can_be_left_out(api: Api, installation: Installation, run: Run) -> None:
    job_id = paused(api, run)
    key = installation.stores.history.artifact(job_id, "checkpoints/pause_checkpoint.pth").file.key
    (installation.folder / "artifacts" / key).write_bytes(b"everythinG")
    problem = problem_of(api.post(f"/jobs/{job_id}/resume"), 409)
    assert problem["code"] == "checkpoint_damaged"
    assert "epoch 1" in problem["detail"]
    assert api.get(f"/jobs/{job_id}").json()["job"]["status"] == "paused"
    problem_of(api.post(f"/jobs/{job_id}/resume", {"from": "thin air"}), 422)
    assert api.post(f"/jobs/{job_id}/resume", {"from": "last_good"}).json()["status"] == "queued"
    assert api.get(f"/jobs/{job_id}").json()["job"]["warnings"]


def test_with_no_good_checkpoint_left_a_job_stays_paused(api: Api, installation: Installation, run: Run) -> None:
    job_id = paused(api, run)
    for key in installation.artifacts.keys(job_id):
        (installation.folder / "artifacts" / key).write_bytes(b"everythinG")
    problem = problem_of(api.post(f"/jobs/{job_id}/resume", {"from": "last_good"}), 409)
    assert problem["code"] == "checkpoint_damaged"
    job = api.get(f"/jobs/{job_id}").json()["job"]
    assert (job["status"], job["pause_checkpoint_path"]) == ("paused", "checkpoints/pause_checkpoint.pth")


def test_cancelling_a_paused_job_removes_the_copy_made_for_the_pause(
    api: Api, installation: Installation, run: Run
) -> None:
    job_id = paused(api, run)
    copy = installation.stores.history.artifact(job_id, "checkpoints/pause_checkpoint.pth").file.key
    kept = [saved.file.key for saved in installation.stores.attempts.checkpoints(job_id)]
    assert api.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert installation.artifacts.keys(job_id) == sorted(key for key in {*kept, copy} if key in kept)


def test_cancel_is_immediate_unless_the_job_runs(api: Api, run: Run) -> None:
    queued = api.submit()
    body = api.post(f"/jobs/{queued}/cancel").json()
    assert set(body) == {"job_id", "status", "requested", "message"}
    assert (body["status"], body["requested"]) == ("cancelled", None)
    assert api.post(f"/jobs/{queued}/cancel").status_code == 200  # twice is fine
    body = api.post(f"/jobs/{run.job.id}/cancel").json()
    assert (body["status"], body["requested"]) == ("running", "cancel")
    run.cancelled()
    assert api.get(f"/jobs/{run.job.id}").json()["job"]["reason"] == "cancelled_by_user"


def test_retry_starts_a_failed_job_again(api: Api, run: Run) -> None:
    run.finish_epoch()
    problem_of(api.post(f"/jobs/{run.job.id}/retry"), 409)
    run.fail("out of ideas")
    assert api.get(f"/jobs/{run.job.id}").json()["job"]["error_message"] == "out of ideas"
    body = api.post(f"/jobs/{run.job.id}/retry").json()
    assert (body["status"], body["resume_epoch"]) == ("queued", 2)
    job = api.get(f"/jobs/{run.job.id}").json()["job"]
    assert (job["error_message"], job["completed_at"], job["reason"]) == (None, None, None)


def test_a_retry_names_the_epoch_after_the_newest_whole_checkpoint(
    api: Api, installation: Installation, run: Run
) -> None:
    run.finish_epoch()
    run.finish_epoch()
    run.fail("out of ideas")
    newest, _ = installation.stores.attempts.checkpoints(run.job.id)
    (installation.folder / "artifacts" / newest.file.key).write_bytes(b"cut")
    assert api.post(f"/jobs/{run.job.id}/retry").json()["resume_epoch"] == newest.epoch
    job = api.get(f"/jobs/{run.job.id}").json()["job"]
    assert job["current_epoch"] == newest.epoch - 1
    events = api.get(f"/jobs/{run.job.id}/events").json()["events"]
    (resumed,) = [event["data"] for event in events if event["event"] == "training:resumed"]
    assert resumed["resume_epoch"] == newest.epoch


def test_a_clone_warns_of_no_field_that_nobody_gave(api: Api) -> None:
    config = {"model_architecture": "triangulation", "warmup_epochs": 0}
    clone = api.post(f"/jobs/{api.submit(config=config)}/clone").json()
    assert (clone["config"]["model_architecture"], clone["warnings"]) == ("triangulation", [])
    clone = api.post(f"/jobs/{clone['id']}/clone", {"config": {"n_mels": 64}}).json()
    assert "n_mels" in clone["warnings"][0]


def test_clone_takes_overrides(api: Api) -> None:
    parent = api.submit(config={"epochs": 3, "batch_size": 8}, tags=["x"], job_name="parent")
    answer = api.post(f"/jobs/{parent}/clone", {"config": {"epochs": 4}, "notes": "more", "resources": {"gpus": 1}})
    assert answer.status_code == 201
    clone = answer.json()
    assert clone["id"] != parent
    assert clone["parent_job_id"] == parent
    assert (clone["config"]["epochs"], clone["config"]["batch_size"]) == (4, 8)
    assert (clone["tags"], clone["notes"]) == (["x"], "more")
    assert api.post(f"/jobs/{parent}/clone").status_code == 201
    problem_of(api.post(f"/jobs/{parent}/clone", {"config": {"epochs": 0}}), 422)
    problem_of(api.post(f"/jobs/{parent}/clone", {"status": "completed"}), 422)


@pytest.mark.parametrize(("action", "allowed"), [("pause", "running"), ("resume", "paused"), ("retry", "failed")])
def test_the_wrong_status_is_named_with_those_that_allow_it(api: Api, action: str, allowed: str) -> None:
    problem = problem_of(api.post(f"/jobs/{api.submit()}/{action}"), 409)
    assert "queued" in problem["detail"]
    assert allowed in problem["detail"]


def test_an_ended_job_cannot_be_cancelled(api: Api, run: Run) -> None:
    run.finish()
    problem_of(api.post(f"/jobs/{run.job.id}/cancel"), 409)


def test_a_generation_job_cannot_be_paused(api: Api, installation: Installation) -> None:
    job_id = api.post("/synthetic/generate", {"name": "unpausable", "num_samples": 5}).json()["job_id"]
    installation.worker.claim_job(job_id)
    assert "data-generation" in problem_of(api.post(f"/jobs/{job_id}/pause"), 409)["detail"]


@pytest.mark.parametrize("action", ["pause", "cancel", "retry"])
def test_actions_take_no_fields(api: Api, run: Run, action: str) -> None:
    problem_of(api.post(f"/jobs/{run.job.id}/{action}", {"from": "last_good"}), 422)
