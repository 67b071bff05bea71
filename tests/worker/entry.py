"""What a forked test job runs: the same as the product's entry, with the test's trainers."""

import os
from pathlib import Path
from typing import Any

from heimdall.artifacts import LocalArtifacts
from heimdall.store import open_database, open_stores
from heimdall.wake import DataVersionSignal
from heimdall.worker.run import Pace, run_attempt
from tests.worker.trainers import find_spec


def run_job(payload: dict[str, Any]) -> None:
    data_dir = Path(payload["data_dir"])
    url = os.environ["TEST_DATABASE_URL"]
    run_attempt(
        payload["job_id"],
        payload["token"],
        stores=open_stores(open_database(url)),
        heartbeat_stores=open_stores(open_database(url)),
        artifacts=LocalArtifacts(data_dir / "artifacts", cache=data_dir / "cache"),
        changes=DataVersionSignal(Path(url.removeprefix("sqlite:///"))),
        data_dir=data_dir,
        threads=payload["threads"],
        find_spec=find_spec,
        default_dataset={"name": "default", "size": 100, "gate": payload["dataset_gate"]},
        pace=Pace(**payload["pace"]),
    )
