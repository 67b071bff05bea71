"""What a forked test job runs: the same as the product's entry, with the test's trainers."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.ports import AttemptStore, Stores
from heimdall.store import open_database, open_stores
from heimdall.wake import DataVersionSignal
from heimdall.worker.run import Pace, run_attempt
from tests.worker.killing import Killer
from tests.worker.slow import Slow
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
        heartbeat_stores=slow_stores(open_stores(open_database(url)), payload.get("slow_seconds", 0.0)),
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


def slow_stores(stores: Stores, seconds: float) -> Stores:
    return replace(stores, attempts=cast("AttemptStore", Slow(stores.attempts, seconds))) if seconds else stores
