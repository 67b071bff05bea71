"""PostgreSQL cannot be reached for longer than a lease while a job trains."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.e2e.cut_line import CutLine
from tests.e2e.service import RunningService, wait_until
from tests.e2e.small_jobs import slow
from tests.services_here import skip_without

GONE_SECONDS = 60  # four leases


@pytest.fixture
def database_name() -> Iterator[str]:
    name = f"heimdall_test_{uuid4().hex}"
    try:
        server = psycopg.connect("postgresql://root@127.0.0.1/postgres", autocommit=True)
    except psycopg.OperationalError as error:
        skip_without("postgres", error)
    with server:
        server.execute(f"CREATE DATABASE {name}".encode())
        yield name
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_nothing_is_lost_or_doubled_and_the_job_is_not_declared_lost(database_name: str, tmp_path: Path) -> None:
    line = CutLine(("127.0.0.1", 5432))
    address = f"postgresql://root@127.0.0.1:{line.port}/{database_name}"
    service = RunningService(tmp_path / "data", environment={"HEIMDALL_DATABASE_URL": address}).start()
    try:
        job_id = service.submit(slow(service.generate("few", 300), epochs=8))
        service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
        pid = service.job_processes()[job_id]
        line.cut()
        wait_until(lambda: service.api.get("/jobs").status_code == 503, seconds=15, what="the API says so")
        time.sleep(GONE_SECONDS)  # an outage is a length of time
        assert service.job_processes()[job_id] == pid
        line.mend()
        wait_until(lambda: service.api.get("/jobs").status_code == 200, seconds=30, what="the database is back")
        job = service.wait_ended(job_id)
        assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 1, 0)
        rows = service.api.get(f"/jobs/{job_id}/metrics").json()
        assert [row["epoch"] for row in rows] == list(range(1, 9))
        series = {one["name"]: one["points"] for one in service.api.get(f"/jobs/{job_id}/series").json()}
        assert series["train_loss"] == 8 * job["train_samples"] // 2
        events = service.events(job_id)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        checkpoints = [event["data"]["epoch"] for event in events if event["event"] == "training:checkpoint"]
        assert checkpoints == list(range(1, 9))
    finally:
        stopped = service.close()
        line.close()
    assert stopped == 0
