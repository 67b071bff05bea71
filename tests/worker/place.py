"""A data folder with a real store, and slots loops with real processes on it."""

import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.job import Job, NewJob, Status
from heimdall.domain.ports import Stores
from heimdall.store import Database
from heimdall.wake import InProcessWake
from heimdall.worker.processes import ForkServer, ProcessServer
from heimdall.worker.running import Patience
from heimdall.worker.slots import SlotsLoop

FAST = Patience(
    look_seconds=0.1,
    announce_seconds=0.3,
    cancel_seconds=0.5,
    terminate_seconds=0.5,
    drain_seconds=5.0,
    exit_seconds=0.5,
    stopped_seconds=1.0,
)
PACE = {"beat_seconds": 0.2, "look_seconds": 0.1, "flush_seconds": 0.05, "dataset_lease_seconds": 1.0}
PRELOAD = ["numpy", "sqlalchemy.dialects.sqlite", "heimdall.store", "heimdall.worker.run", "tests.worker.entry"]


@dataclass
class Place:
    """One data folder."""

    data_dir: Path
    url: str
    database: Database
    stores: Stores
    artifacts: LocalArtifacts
    wake: InProcessWake
    server: ForkServer
    pace: dict[str, Any] = field(default_factory=lambda: dict(PACE))
    dataset_gate: str | None = None
    dataset_fails: bool = False
    slow_seconds: float = 0.0  # of each answer to a job's heartbeat
    database_name: str = ""

    def submit(
        self, *, kind: str = "descent", priority: int = 0, max_restarts: int = 3, gpus: int = 0, **config: Any
    ) -> Job:
        new = NewJob(
            id=str(uuid4()),
            job_name="test",
            kind=kind,
            config=config,
            total_epochs=config.get("epochs", 4),
            priority=priority,
            max_restarts=max_restarts,
            gpus=gpus,
        )
        job, _ = self.stores.jobs.create(new)
        return self.dispatch(job.id)

    def dispatch(self, job_id: str) -> Job:
        task_id = str(uuid4())
        if self.stores.jobs.dispatch(job_id, task_id):
            self.wake.send(job_id, task_id)
        return self.stores.jobs.get(job_id)

    def loop(
        self,
        *,
        slots: int = 1,
        name: str = "worker",
        patience: Patience = FAST,
        devices: Sequence[str] = (),
        is_only_worker: bool = False,
        server: ProcessServer | None = None,
        cache_bytes: int | None = None,
    ) -> SlotsLoop:
        return SlotsLoop(
            stores=self.stores,
            wake=self.wake,
            worker=WorkerInfo(name=name, host="here", slots=slots, devices=list(devices)),
            fork_server=server or KeptServer(self.server),
            entry="tests.worker.entry:run_job",
            data_dir=self.data_dir,
            dispatch=self.dispatch,
            job_env={"TEST_DATABASE_URL": self.url},
            payload={
                "pace": self.pace,
                "dataset_gate": self.dataset_gate,
                "dataset_fails": self.dataset_fails,
                "slow_seconds": self.slow_seconds,
            },
            patience=patience,
            is_only_worker=is_only_worker,
            database=self.database_name,
            cache_bytes=cache_bytes,
        )

    @contextmanager
    def working(self, **options: Any) -> Generator[SlotsLoop]:
        loop = self.loop(**options)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            wait_until(lambda: loop.has_adopted)  # a second loop on this folder must not adopt what the first starts
            yield loop
        finally:
            loop.stop()
            thread.join()

    def wait(self, job: Job, *statuses: Status, timeout: float = 20.0) -> Job:
        wanted = statuses or (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PAUSED)
        wait_until(lambda: self.stores.jobs.get(job.id).status in wanted, timeout=timeout)
        return self.stores.jobs.get(job.id)

    def events(self, job: Job, *types: str) -> list[dict[str, Any]]:
        found = self.stores.history.events(job.id, limit=10_000, types=types)
        return [event.as_dict() for event in found]

    def log(self, job: Job) -> list[tuple[str, str]]:
        lines, _ = self.stores.history.logs(job.id, limit=10_000)
        return [(line["level"], line["message"]) for line in lines]


class KeptServer:
    """A loop's view of a fork server that many loops of a test session use, one after the other."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self.start = server.start
        self.spawn = server.spawn
        self.check = server.check

    @property
    def is_warm(self) -> bool:
        return self._server.is_warm

    @property
    def is_alive(self) -> bool:
        return self._server.is_alive

    @property
    def pids(self) -> Collection[int]:
        return self._server.pids

    @property
    def failures(self) -> dict[str, str]:
        return self._server.failures

    def close(self) -> None:
        pass


def logged_series(place: Place, job: Job) -> list[str]:
    """What the trainer logged; a slow machine adds samples of itself."""
    names = [one.name for one in place.stores.history.series(job.id)]
    return [name for name in names if not name.startswith("system/")]


def wait_until(condition: Callable[[], bool], *, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    calm = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        calm.wait(0.01)


class Gate:
    """Lets a trainer into its epochs one at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = str(folder)
        self._folder = folder

    def open(self, *epochs: int) -> None:
        for epoch in epochs:
            (self._folder / str(epoch)).touch()

    def wait_for(self, epoch: int) -> None:
        """Until the trainer stands before this epoch."""
        wait_until((self._folder / f"at-{epoch}").exists)

    def forget(self, epoch: int) -> None:
        (self._folder / f"at-{epoch}").unlink()
