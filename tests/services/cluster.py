"""Real API processes and workers on this machine, over PostgreSQL and RabbitMQ, to start, kill and ask."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from uuid import uuid4

import httpx2
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.e2e.service import HEIMDALL, RunningService, wait_until
from tests.services.postgres import SHARED
from tests.services.rabbitmq import SharedRabbit


class Process:
    """One `heimdall serve` or `heimdall worker`; its output goes to `{data_dir}.log`.

    `inside` is a command that runs it, such as `ip netns exec NAME`.
    """

    def __init__(
        self, arguments: list[str], data_dir: Path, environment: Mapping[str, str], inside: Sequence[str] = ()
    ) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self._command = [*inside, str(HEIMDALL), *arguments, "--data-dir", str(data_dir)]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, cwd=self.data_dir, start_new_session=True
            )

    def check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()

    def kill(self) -> None:
        """SIGKILL to this process alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_machine(self) -> None:
        """SIGKILL to this process and everything it started, as when a machine loses its power."""
        family = psutil.Process(self.pid).children(recursive=True)
        self.kill()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def stop(self) -> int:
        """SIGTERM, and wait for its end."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)


class Api(RunningService):
    """A `heimdall serve`, asked as a `heimdall up` is."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        super().__init__(data_dir)
        self.serve = Process(["serve", "--port", str(self.port)], data_dir, environment)

    def answers(self) -> bool:
        """Whether it serves with all it needs."""
        self.serve.check()
        try:
            answer = httpx2.get(f"{self.url}/readyz", timeout=5)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and answer.json()["status"] == "ready"


class Cluster:
    """API processes and workers with a database and, where there is a broker, a virtual host of their own.

    `environment` adds settings, such as those of an S3 server; files are in a folder otherwise. `postgres` is
    user@host:port of a server that lets it in.
    """

    def __init__(
        self,
        folder: Path,
        *,
        broker: SharedRabbit | None = None,
        postgres: str = SHARED,
        environment: Mapping[str, str] | None = None,
        apis: int = 2,
        workers: int = 2,
    ) -> None:
        self.name = f"heimdall_{uuid4().hex[:12]}"
        self.folder = folder
        self._broker = broker
        self._postgres = postgres
        self.broker_url = broker.add_vhost() if broker else ""
        self.database_url = f"postgresql://{postgres}/{self.name}"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HEIMDALL_")},
            "HEIMDALL_DATABASE_URL": self.database_url,
            "HEIMDALL_BROKER_URL": self.broker_url,
            "HEIMDALL_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
            **(environment or {}),
        }
        self.apis = [Api(folder / f"api{number}", self.environment) for number in range(apis)]
        self.workers = [Process(["worker"], folder / f"worker{number}", self.environment) for number in range(workers)]

    def start(self) -> "Cluster":
        self._sql(f"CREATE DATABASE {self.name}")
        for process in [*(api.serve for api in self.apis), *self.workers]:
            process.start()
        for api in self.apis:
            wait_until(api.answers, seconds=60, what="the API process is ready")
        self.wait_for_workers(len(self.workers))
        return self

    def wait_for_workers(self, number: int) -> None:
        def are_there() -> bool:
            for worker in self.workers:
                worker.check()
            return len(self.apis[0].api.get("/workers").json()) == number

        wait_until(are_there, seconds=90, what=f"{number} workers have announced themselves")

    def close(self) -> list[int]:
        """Stop everything; the exit codes of all processes."""
        processes = [*self.workers, *(api.serve for api in self.apis)]
        codes = [process.stop() for process in processes]
        for api in self.apis:
            api.api.close()
        self._sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        if self._broker is not None:
            self._broker.delete_vhost(self.broker_url)
        return codes

    def _sql(self, statement: str) -> None:
        engine = create_engine(
            f"postgresql+psycopg://{self._postgres}/postgres", poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(statement))


def main() -> None:
    """Two API processes and two workers with a fresh database, until Ctrl-C."""
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="heimdall-cluster-") as folder:
        cluster = Cluster(Path(folder), broker=SharedRabbit())
        try:
            cluster.start()
            for api in cluster.apis:
                print(f"API      {api.url}")
            for worker in cluster.workers:
                print(f"worker   process {worker.pid}, output in {worker.log}")
            print(f"database {cluster.database_url}\nbroker   {cluster.broker_url}")
            print("Ctrl-C stops all and removes it.", flush=True)
            told.wait()
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
