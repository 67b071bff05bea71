"""A deleted job leaves nothing behind, however its process behaves."""

import time
from contextlib import nullcontext

import psutil
import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool

from heimdall.store.tables import deletions, metadata, points, series, training_jobs
from tests.e2e.service import RunningService, wait_until
from tests.e2e.small_jobs import slow

JOB_COLUMNS = {"job_id", "training_job_id"}
pytestmark = pytest.mark.team


@pytest.mark.parametrize("is_deaf", [False, True], ids=["listening", "deaf"])
def test_a_running_job_is_deleted_within_fifteen_seconds(
    shared_service: RunningService, dataset_id: str, is_deaf: bool
) -> None:
    service = shared_service
    job_id = service.submit(slow(dataset_id, epochs=1000))
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    pid = service.job_processes()[job_id]
    assert rows_of(service, job_id) > 10
    assert files_of(service, job_id)
    with service.frozen(job_id) if is_deaf else nullcontext():
        begun = time.monotonic()
        assert service.api.delete(f"/jobs/{job_id}").status_code == 204
        assert time.monotonic() - begun < 15
        assert service.api.get(f"/jobs/{job_id}").status_code == 404
    wait_until(lambda: not psutil.pid_exists(pid), seconds=20, what="the process is gone")
    wait_until(lambda: not files_of(service, job_id), seconds=20, what="its files are gone")
    assert rows_of(service, job_id) == 0
    assert service.api.delete(f"/jobs/{job_id}").status_code == 404


def rows_of(service: RunningService, job_id: str) -> int:
    """Rows that name the job, in all tables, and the points of its series."""
    tables = [table for table in metadata.sorted_tables if table is not deletions]  # where to look for late files
    naming = [column for table in tables for column in table.c if column.name in JOB_COLUMNS]
    orphans = select(func.count()).where(points.c.series_id.not_in(select(series.c.id)))
    counts = [select(func.count()).where(column == job_id) for column in (training_jobs.c.id, *naming)]
    with create_engine(service.database_url, poolclass=NullPool).connect() as database:
        return sum(database.execute(count).scalar_one() for count in (*counts, orphans))


def files_of(service: RunningService, job_id: str) -> list[str]:
    return [*service.keys(job_id), *(str(path) for path in service.data_dir.rglob("*") if job_id in path.name)]
