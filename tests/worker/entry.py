"""What a forked test job runs: the same as the product's entry, with the test's trainers."""

import os
from pathlib import Path
from typing import Any

from heimdall.artifacts import LocalArtifacts
from heimdall.store import open_database, open_stores
from heimdall.wake import DataVersionSignal
from heimdall.worker.run import Pace, run_attempt
from tests.worker.killing import Killer
from tests.worker.trainers import find_spec


def run_job(payload: dict[str, Any]) -> None:
    data_dir, job_id = Path(payload["data_dir"]), payload["job_id"]
    url = os.environ["TEST_DATABASE_URL"]
    killer = Killer(kill_at(url, job_id))
    killer.watch_disk()
    database = open_database(url)
    killer.watch(database)
    run_attempt(
        job_id,
        payload["token"],
        stores=open_stores(database),
        heartbeat_stores=open_stores(open_database(url)),
        artifacts=killer.watched(LocalArtifacts(data_dir / "artifacts", cache=data_dir / "cache")),
        changes=DataVersionSignal(Path(url.removeprefix("sqlite:///"))),
        data_dir=data_dir,
        threads=payload["threads"],
        find_spec=find_spec,
        default_dataset={
            "name": "default",
            "size": 100,
            "gate": payload["dataset_gate"],
            "fails": payload.get("dataset_fails", False),
        },
        pace=Pace(**payload["pace"]),
        before_exit=lambda: killer.write_down(data_dir / f"{job_id}.calls"),
    )


def kill_at(url: str, job_id: str) -> int:
    """The call at which the first attempt of this job is to die; 0 for none."""
    database = open_database(url)
    job = open_stores(database).jobs.get(job_id)
    database.close()
    return job.config.get("kill_at", 0) if job.attempt == 1 else 0
