"""Requests that wait for workers or for files hold up no others."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from heimdall.domain.attempt import StoredFile
from heimdall.domain.events import EventName
from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation, open_installation
from tests.api.live_server import serve
from tests.api.worker import Run
from tests.e2e.service import wait_until

NUM_SLOW = 40  # more than there are threads for routes


@pytest.fixture
def patient(template: Path, tmp_path: Path) -> Iterator[Installation]:
    """Waits long for workers."""
    with open_installation(template, tmp_path, stop_seconds=60.0) as opened:
        yield opened


def running(installation: Installation) -> Run:
    return installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 3})).id)


def in_threads(count: int, call: Callable[[int], httpx2.Response]) -> tuple[ThreadPoolExecutor, list[Future[Any]]]:
    pool = ThreadPoolExecutor(count)
    return pool, [pool.submit(call, number) for number in range(count)]


def test_deletions_that_wait_for_workers_hold_up_nobody(patient: Installation) -> None:
    runs = [running(patient) for _ in range(NUM_SLOW)]
    with serve(patient.app) as port:
        jobs = f"http://127.0.0.1:{port}/api/v1/training/jobs"
        pool, asked = in_threads(NUM_SLOW, lambda number: httpx2.delete(f"{jobs}/{runs[number].job.id}", timeout=120))
        with pool:
            wait_until(
                lambda: all(patient.jobs.get(run.job.id).requested == "cancel" for run in runs),
                seconds=60,
                what="all are asked to stop",
            )
            assert httpx2.get(jobs, timeout=60).json()["total"] == NUM_SLOW
            ended = patient.jobs.cancel(patient.jobs.create(JobRequest(config={"epochs": 3})).id)
            assert httpx2.delete(f"{jobs}/{ended.id}", timeout=60).status_code == 204
            assert httpx2.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
            assert not any(future.done() for future in asked)
            for run in runs:
                run.cancelled()
        assert [future.result().status_code for future in asked] == [204] * NUM_SLOW
        assert httpx2.get(jobs, timeout=60).json()["total"] == 0


def test_who_deletes_a_job_that_is_being_deleted_waits_for_the_same_deletion(patient: Installation) -> None:
    run = running(patient)
    with serve(patient.app) as port:
        url = f"http://127.0.0.1:{port}/api/v1/training/jobs/{run.job.id}"
        pool, asked = in_threads(4, lambda _: httpx2.delete(url, timeout=120))
        with pool:
            wait_until(lambda: patient.jobs.get(run.job.id).requested == "cancel", seconds=60, what="it is asked")
            run.cancelled()
        # One that came only now finds no job.
        statuses = [future.result().status_code for future in asked]
        assert set(statuses) <= {204, 404}
        assert 204 in statuses
        assert httpx2.delete(url, timeout=60).status_code == 404
    requests = patient.stores.history.events(run.job.id, types=[EventName.REQUESTED])
    assert len(requests) == 1


def test_checks_of_large_files_hold_up_nobody(patient: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    run = running(patient)
    run.finish_epoch()
    patient.jobs.pause(run.job.id)
    run.pause()
    may_go_on, begun = threading.Event(), threading.Semaphore(0)
    is_intact = patient.artifacts.is_intact

    def slow(file: StoredFile) -> bool:
        begun.release()
        may_go_on.wait(120)
        return is_intact(file)

    monkeypatch.setattr(patient.artifacts, "is_intact", slow)
    with serve(patient.app) as port:
        jobs = f"http://127.0.0.1:{port}/api/v1/training/jobs"
        pool, asked = in_threads(NUM_SLOW, lambda _: httpx2.post(f"{jobs}/{run.job.id}/resume", timeout=120))
        with pool:
            assert begun.acquire(timeout=60)
            assert httpx2.get(jobs, timeout=60).json()["total"] == 1
            assert httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
            assert not any(future.done() for future in asked)
            may_go_on.set()
        statuses = [future.result().status_code for future in asked]
    assert sorted(statuses) == [200] + [409] * (NUM_SLOW - 1)
