"""`heimdall up` is killed and started again on its folder, on another port."""

import threading

from tests.e2e.service import RunningService
from tests.e2e.small_jobs import slow


def test_its_job_is_adopted_and_never_doubled(service: RunningService) -> None:
    service.start()
    dataset_id = service.generate("few", 300)
    running = service.submit(slow(dataset_id, epochs=40))
    service.wait_job(running, lambda job: job["current_epoch"] >= 1, what="an epoch")
    pid = service.job_processes()[running]
    waiting = service.submit(slow(dataset_id, epochs=1))

    moved = RunningService(service.data_dir)
    assert moved.port != service.port
    ended, most = threading.Event(), [0]
    watch = threading.Thread(target=count_processes, args=(moved, {running, waiting}, ended, most))
    watch.start()
    try:
        service.kill()
        moved.start()
        assert moved.job_processes()[running] == pid
        job = moved.wait_ended(running)
        assert moved.wait_ended(waiting)["status"] == "completed"
        rows = moved.api.get(f"/jobs/{running}/metrics").json()
        seqs = [event["seq"] for event in moved.events(running)]
    finally:
        ended.set()
        watch.join()
        moved.close()
    assert most == [1]
    assert (job["status"], job["attempt"], job["restarts"], job["warnings"]) == ("completed", 1, 0, [])
    assert [row["epoch"] for row in rows] == list(range(1, 41))
    assert seqs == list(range(1, len(seqs) + 1))


def count_processes(service: RunningService, jobs: set[str], ended: threading.Event, most: list[int]) -> None:
    while not ended.wait(0.05):
        most[0] = max(most[0], len(jobs & service.job_processes().keys()))
