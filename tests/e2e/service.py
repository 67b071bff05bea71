"""A real `heimdall up` in a process of its own, to start, kill and ask."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import obstore
import psutil
from obstore.store import LocalStore, ObjectStore

HEIMDALL = Path(sys.executable).with_name("heimdall")
T = TypeVar("T")
ENDED = frozenset({"completed", "failed", "cancelled"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(look: Callable[[], T], *, seconds: float, what: str, every: float = 0.05) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every)
    return answer


class RunningService:
    """`heimdall up` on a free port of the loopback address with its own data folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        slots: int = 1,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """`before`: the words of a command that runs the service's command."""
        self._before = list(before)
        self.data_dir = data_dir
        self.slots = slots
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = httpx2.Client(base_url=f"{self.url}/api/v1/training", timeout=30)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("HEIMDALL_")}
        self.environment |= dict(environment or {})

    def start(self, *, warm: bool = True) -> "RunningService":
        """Start it and wait until it answers (`warm`: until the fork server has loaded the trainers too)."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [*self._before, HEIMDALL, "up", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--slots", str(self.slots)], stdout=log, stderr=log, env=self.environment, cwd=self.data_dir
            )
        wait_until(lambda: self._is_ready(warm=warm), seconds=90, what="the service is ready")
        return self

    def _is_ready(self, *, warm: bool) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.data_dir / "up.log").read_text()
        try:
            answer = httpx2.get(f"{self.url}/readyz", timeout=5)
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and not (warm and "warming" in answer.json()["down"])

    @property
    def log(self) -> str:
        return (self.data_dir / "up.log").read_text()

    def kill(self) -> None:
        """SIGKILL to the server process alone; its jobs live on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self) -> int:
        """Stop it for good."""
        self.api.close()
        return self.stop()

    def stop(self) -> int:
        """SIGTERM, and wait for its end."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self.process.wait(timeout=60)

    def submit(self, config: Mapping[str, Any], **fields: Any) -> str:
        answer = self.api.post("/jobs", json={"config": dict(config), **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def generate(self, name: str, num_samples: int) -> str:
        """A dataset of the fixed receivers; its id."""
        body = {"name": name, "num_samples": num_samples, "use_random_receivers": False, "seed": 5}
        accepted = self.api.post("/synthetic/generate", json=body).json()
        assert self.wait_ended(accepted["job_id"])["status"] == "completed"
        return accepted["dataset_id"]

    def act(self, job_id: str, action: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """pause, resume, cancel, retry, clone: the answer of one that must be possible."""
        answer = self.api.post(f"/jobs/{job_id}/{action}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.api.get(f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()["job"]

    def wait_job(
        self, job_id: str, reached: Callable[[dict[str, Any]], bool], *, seconds: float = 120, what: str = "job"
    ) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            if reached(job):
                return job
            assert job["status"] not in ENDED, f"{what}: the job ended {job['status']}: {job['error_message']}"
            return None

        found = wait_until(look, seconds=seconds, what=what)
        assert found is not None
        return found

    def wait_ended(self, job_id: str, *, seconds: float = 180) -> dict[str, Any]:
        return self.wait_job(job_id, lambda job: job["status"] in ENDED, seconds=seconds, what="the job has ended")

    def kill_job(self, job_id: str) -> bool:
        """SIGKILL to the job's process, when it has one."""
        pid = self.job_processes().get(job_id)
        return pid is not None and _kill(pid)

    @contextmanager
    def frozen(self, job_id: str) -> Generator[int]:
        """The job's process stands still meanwhile, never with the database's lock in its hands. Its process id."""
        pid = wait_until(lambda: self._stopped(job_id), seconds=60, what="the process of the running job stands still")
        assert pid is not None
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _stopped(self, job_id: str) -> int | None:
        """Stop the job's process between two writes of an attempt that has not ended; None when that fails."""
        pid = self.job_processes().get(job_id)
        if pid is None or not _stop(pid):
            return None
        if self._can_write(job_id) and self.job(job_id)["status"] == "running":
            return pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        return None

    def _can_write(self, job_id: str) -> bool:
        """Whether nobody is in the middle of writing to the job."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=0.2)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            other.execute("ROLLBACK")
            return True

    @property
    def database(self) -> Path:
        return self.data_dir / "heimdall.db"

    @property
    def database_url(self) -> str:
        """As SQLAlchemy takes it."""
        return f"sqlite:///{self.database}"

    @property
    def objects(self) -> ObjectStore:
        """Where artifacts are."""
        return LocalStore(self.data_dir / "artifacts")

    def keys(self, job_id: str) -> list[str]:
        """Of all artifacts of the job."""
        listed = obstore.list(self.objects, prefix=job_id, return_arrow=False)  # pyright: ignore[reportUnknownMemberType]
        return [meta["path"] for chunk in listed for meta in chunk]

    def kill_fork_server(self) -> bool:
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return any(_kill(child.pid) for child in children if child.cmdline()[:1] == ["heimdall fork-server"])

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The whole log of a job."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["seq"] if found else 0
            page = self.api.get(f"/jobs/{job_id}/events", params={"after": after, "limit": 10_000}).json()["events"]
            if not page:
                return found
            found += page

    def job_processes(self) -> dict[str, int]:
        """Process ids of running jobs of this data folder, by job id, as `ps` shows them."""
        listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        found: dict[str, int] = {}
        for line in listed.splitlines():
            pid, _, title = line.strip().partition(" ")
            if title.startswith("heimdall run-job "):
                found[title.split()[2]] = int(pid)
        return found


def _stop(pid: int) -> bool:
    """False when the process ends before it can stand still."""
    ends = {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    try:
        os.kill(pid, signal.SIGSTOP)
        process = psutil.Process(pid)
        status = wait_until(
            lambda: (seen := process.status()) in {psutil.STATUS_STOPPED, *ends} and seen, seconds=5, what="it stops"
        )
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    return status not in ends


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
