"""The server dies with SIGKILL; what was shown is still there and the job goes on."""

import subprocess

from tests.e2e.service import HEIMDALL, RunningService


def test_up_killed_and_started_again_loses_nothing(service: RunningService) -> None:
    service.start()
    finished = service.submit({"epochs": 2, "num_workers": 0})
    assert service.wait_ended(finished)["status"] == "completed"
    shown = service.events(finished), service.api.get(f"/jobs/{finished}/metrics").json()

    running = service.submit({"epochs": 30, "num_workers": 0, "early_stop_patience": 0})
    service.wait_job(running, lambda job: job["current_epoch"] >= 2, what="two epochs")
    before = service.events(running)
    service.kill()
    service.start(warm=False)

    assert (service.events(finished), service.api.get(f"/jobs/{finished}/metrics").json()) == shown
    assert service.events(running)[: len(before)] == before
    job = service.wait_ended(running)
    assert job["status"] == "completed"
    rows = service.api.get(f"/jobs/{running}/metrics").json()
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    events = service.events(running)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_the_jobs_process_killed_with_its_server_goes_on_from_its_last_epoch(service: RunningService) -> None:
    service.start()
    running = service.submit({"epochs": 30, "num_workers": 0, "early_stop_patience": 0})
    service.wait_job(running, lambda job: job["current_epoch"] >= 2, what="two epochs")
    process = service.job_processes()[running]
    service.kill()
    subprocess.run(["kill", "-9", str(process)], check=True)
    service.start(warm=False)
    job = service.wait_ended(running)
    assert (job["status"], job["restarts"], job["attempt"]) == ("completed", 1, 2)
    recovered = [event for event in service.events(running) if event["event"] == "training:recovered"]
    assert [event["data"]["reason"] for event in recovered] == ["worker_lost"]
    assert recovered[0]["data"]["resume_epoch"] >= 3
    rows = service.api.get(f"/jobs/{running}/metrics").json()
    assert [row["epoch"] for row in rows] == list(range(1, 31))


def test_a_second_up_on_the_same_folder_says_who_has_it(service: RunningService) -> None:
    service.start(warm=False)
    command = [HEIMDALL, "up", "--port", "0", "--data-dir", str(service.data_dir)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert service.process is not None
    assert str(service.process.pid) in second.stderr
