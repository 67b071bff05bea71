"""Real API processes and workers on this machine, over PostgreSQL and RabbitMQ, to start, kill and ask."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import httpx2
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.e2e.service import HEIMDALL, RunningService, wait_until

POSTGRES = "root@127.0.0.1"
RABBITMQ = ("127.0.0.1", 5672)


class Process:
    """One `heimdall serve` or `heimdall worker`; its output goes to `{data_dir}.log`."""

    def __init__(self, arguments: list[str], data_dir: Path, environment: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self._arguments = [*arguments, "--data-dir", str(data_dir)]
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
                [HEIMDALL, *self._arguments], stdout=log, stderr=log, env=self._environment, cwd=self.data_dir
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
    """API processes and workers with a database and a virtual host of their own."""

    def __init__(
        self, folder: Path, *, broker: tuple[str, int] | None = RABBITMQ, apis: int = 2, workers: int = 2
    ) -> None:
        self.name = f"heimdall_{uuid4().hex[:12]}"
        self.folder = folder
        self.has_broker = broker is not None
        self.database_url = f"postgresql://{POSTGRES}/{self.name}"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("HEIMDALL_")} | {
            "HEIMDALL_DATABASE_URL": self.database_url,
            "HEIMDALL_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
        }
        if broker is not None:
            host, port = broker
            self.environment["HEIMDALL_BROKER_URL"] = f"amqp://guest:guest@{host}:{port}/{self.name}"
        self.apis = [Api(folder / f"api{number}", self.environment) for number in range(apis)]
        self.workers = [Process(["worker"], folder / f"worker{number}", self.environment) for number in range(workers)]

    def start(self) -> "Cluster":
        self._make_homes()
        for process in [*(api.serve for api in self.apis), *self.workers]:
            process.start()
        for api in self.apis:
            wait_until(api.answers, seconds=60, what="the API process is ready")
        wait_until(self._are_warm, seconds=90, what="the workers have announced themselves")
        return self

    def _are_warm(self) -> bool:
        for worker in self.workers:
            worker.check()
        return len(self.apis[0].api.get("/workers").json()) == len(self.workers)

    def close(self) -> list[int]:
        """Stop everything; the exit codes of all processes."""
        processes = [*self.workers, *(api.serve for api in self.apis)]
        codes = [process.stop() for process in processes]
        for api in self.apis:
            api.api.close()
        self._remove_homes()
        return codes

    def _make_homes(self) -> None:
        _sql(f"CREATE DATABASE {self.name}")
        if self.has_broker:
            rabbitmqctl("add_vhost", self.name)
            rabbitmqctl("set_permissions", "-p", self.name, "guest", ".*", ".*", ".*")

    def _remove_homes(self) -> None:
        _sql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        if self.has_broker:
            rabbitmqctl("delete_vhost", self.name)


def missing_services() -> list[str]:
    """Names of what the tests of this folder need and this machine lacks."""
    missing: list[str] = []
    try:
        _sql("SELECT 1")
    except OperationalError:
        missing.append("postgres")
    if not _has_rabbitmq():
        missing.append("rabbitmq")
    return missing


def _has_rabbitmq() -> bool:
    """Virtual hosts are made by its own tool, which root may call."""
    if shutil.which("rabbitmqctl") is None or os.geteuid() != 0:
        return False
    return subprocess.run(["rabbitmqctl", "-q", "status"], capture_output=True, check=False).returncode == 0


def rabbitmqctl(*words: str) -> None:
    done = subprocess.run(["rabbitmqctl", "-q", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _sql(statement: str) -> None:
    engine = create_engine(
        f"postgresql+psycopg://{POSTGRES}/postgres", poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
