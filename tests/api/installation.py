"""The real parts under the surface, over a SQLite file and a folder: what a server process is made of."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from heimdall.api.app import create_app
from heimdall.api.services import ApiOptions, ApiServices, Readiness
from heimdall.artifacts import LocalArtifacts
from heimdall.domain.ports import Stores
from heimdall.jobs.datasets import DatasetService
from heimdall.jobs.deletions import Sweep
from heimdall.jobs.service import JobService
from heimdall.jobs.tokens import TokenService
from heimdall.sdk.registry import specs
from heimdall.store import open_database, open_stores
from heimdall.wake import DataVersionSignal, InProcessWake
from tests.api.worker import Worker

DEFAULT_OPTIONS = ApiOptions(
    version="1.2.3", allowed_hosts=frozenset({"trainer.example"}), allowed_origins=frozenset({"https://lab.example"})
)


@dataclass(frozen=True, slots=True)
class Installation:
    app: FastAPI
    stores: Stores
    jobs: JobService
    tokens: TokenService
    artifacts: LocalArtifacts
    folder: Path
    worker: Worker
    sweep: Sweep


@contextmanager
def open_installation(
    template: Path,
    folder: Path,
    *,
    options: ApiOptions = DEFAULT_OPTIONS,
    readiness: Readiness | None = None,
    check_readiness: Callable[[], Readiness] | None = None,
    admin_secret: str | None = None,
    stop_seconds: float = 0.3,
) -> Generator[Installation]:
    """`template` is a database file with all tables and no rows."""
    file = folder / "heimdall.db"
    shutil.copy(template, file)
    database = open_database(f"sqlite:///{file}")
    stores = open_stores(database)
    wake = InProcessWake()
    signal = DataVersionSignal(file)
    artifacts = LocalArtifacts(folder / "artifacts", cache=folder / "cache")
    sweep = Sweep(stores, artifacts)
    jobs = JobService(stores, wake, artifacts, stop_seconds=stop_seconds, wake_sweep=sweep.wake)
    tokens = TokenService(stores.tokens, admin_secret=admin_secret)
    services = ApiServices(
        jobs=jobs,
        datasets=DatasetService(stores, jobs, artifacts),
        tokens=tokens,
        history=stores.history,
        attempts=stores.attempts,
        artifacts=artifacts,
        signal=signal,
        specs=specs,
        counts=stores.jobs.counts,
        readiness=check_readiness or (lambda: readiness or Readiness()),
        measures=lambda: {"heimdall_ingested_points_total": 7.0},
    )
    app = create_app(services, options)
    try:
        yield Installation(app, stores, jobs, tokens, artifacts, folder, Worker(stores.attempts, artifacts), sweep)
    finally:
        signal.close()
        wake.close()
        database.close()
