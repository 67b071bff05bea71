"""A data loader process is part of its job: killing it costs the job time, nothing else."""

import psutil
import pytest

from tests.e2e.service import RunningService, wait_until

pytestmark = pytest.mark.team


def test_a_killed_loader_process_restarts_the_attempt(shared_service: RunningService) -> None:
    job_id = shared_service.submit(
        {"epochs": 8, "num_workers": 2, "batch_size": 16, "early_stop_patience": 0}, job_name="loader killed"
    )
    shared_service.wait_job(job_id, lambda job: job["current_epoch"] >= 2, what="two epochs")
    process = psutil.Process(shared_service.job_processes()[job_id])
    loaders = [child for child in process.children() if child.cmdline()[0].startswith("heimdall loader")]
    assert len(loaders) == 2 * min(2, psutil.cpu_count() or 1)  # of the training part and of the validation part
    loaders[0].kill()
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, seconds=20, what="its end")

    job = shared_service.wait_ended(job_id)
    assert (job["status"], job["restarts"]) == ("completed", 1)
    assert any("loader" in line for line in job["warnings"])
    rows = shared_service.api.get(f"/jobs/{job_id}/metrics").json()
    assert [row["epoch"] for row in rows] == list(range(1, 9))
