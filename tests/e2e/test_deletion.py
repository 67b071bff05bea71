"""A deleted job leaves nothing behind, however its process behaves."""

import sqlite3
import time
from contextlib import closing, nullcontext

import psutil
import pytest

from tests.e2e.service import RunningService, wait_until
from tests.e2e.small_jobs import slow


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
    with closing(sqlite3.connect(service.database)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        count = 0
        for table in tables:
            columns = [row[1] for row in database.execute("SELECT * FROM pragma_table_info(?)", [table])]
            own = [name for name in columns if name in {"job_id", "training_job_id"}]
            names = own or (["id"] if table == "training_jobs" else [])
            for name in names:
                statement = f'SELECT count(*) FROM "{table}" WHERE "{name}" = ?'  # noqa: S608 - names of our own schema
                count += database.execute(statement, [job_id]).fetchone()[0]
        orphans = "SELECT count(*) FROM points WHERE series_id NOT IN (SELECT id FROM series)"
        return count + database.execute(orphans).fetchone()[0]


def files_of(service: RunningService, job_id: str) -> list[str]:
    return [str(path) for path in service.data_dir.rglob("*") if job_id in path.name]
