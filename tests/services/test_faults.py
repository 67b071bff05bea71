"""Parts of a team's installation break while jobs run: nothing is lost, nothing runs twice, the weights are the same.

`HEIMDALL_FAULT_ROUNDS` sets how often each fault strikes (once by default; `make chaos` asks for ten, and names in
`HEIMDALL_FAULT_RESULTS` the file that gets a line about it).
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.record import Record, assert_whole_log, record
from tests.e2e.cut_line import CutLine
from tests.e2e.service import wait_until
from tests.e2e.small_jobs import slow
from tests.services.cluster import Api, Cluster, Process
from tests.services.follower import Follower
from tests.services.network import Namespace, need_namespaces
from tests.services.postgres import OwnPostgres, need_postgres
from tests.services.rabbitmq import OwnRabbit, need_rabbitmq
from tests.services.s3 import S3Server

NUM_ROUNDS = int(os.environ.get("HEIMDALL_FAULT_ROUNDS", "1"))
S3_GONE_SECONDS = 60
EPOCHS = 8
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Site:
    """A cluster of which every part can be broken. Its first worker has a network of its own."""

    def __init__(self, folder: Path, s3: S3Server, stack: ExitStack) -> None:
        self.rabbit = OwnRabbit(folder / "rabbit").start()
        stack.callback(self.rabbit.stop)
        self.postgres = OwnPostgres().start()
        stack.callback(self.postgres.close)
        self.network = Namespace()
        stack.callback(self.network.close)
        self.s3_line = CutLine(s3.address)
        stack.callback(self.s3_line.close)
        settings = s3.environment(s3.new_bucket(), f"http://127.0.0.1:{self.s3_line.port}")
        self.cluster = Cluster(
            folder, broker=self.rabbit, postgres=self.postgres.place, environment=settings, workers=1
        )
        environment = dict(self.cluster.environment)
        for address in (self.rabbit.address, self.postgres.address, self.s3_line.address):
            line = CutLine(address, host=self.network.here)
            stack.callback(line.close)
            for name, value in environment.items():
                if name.startswith(("HEIMDALL_", "AWS_")):
                    environment[name] = value.replace(f"127.0.0.1:{address[1]}", f"{self.network.here}:{line.port}")
        self.far_worker = Process(["worker"], folder / "far", environment, inside=self.network.inside)
        self.cluster.workers.insert(0, self.far_worker)
        self._begun = time.monotonic()
        self.struck, self.held = Counter[str](), Counter[str]()

    def add_line(self, results: Path) -> None:
        """What was done and came out, at the end of a list."""
        line = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "rounds": self.struck.total(),
            "held": self.held.total(),
            "faults": {name: {"struck": times, "held": self.held[name]} for name, times in self.struck.items()},
            "seconds": round(time.monotonic() - self._begun),
        }
        lines: list[Any] = json.loads(results.read_text("utf-8")) if results.exists() else []
        results.write_text(json.dumps([*lines, line], indent=1) + "\n", "utf-8")

    @property
    def apis(self) -> list[Api]:
        return self.cluster.apis

    def running_on(self, worker: Process, job_ids: list[str]) -> str:
        """Whichever of the jobs that worker runs."""
        name = hashlib.sha256(str(worker.data_dir).encode()).hexdigest()[:6]

        def find() -> str | None:
            rows = self.apis[0].api.get("/workers").json()
            running = [job_id for row in rows if row["name"].endswith(name) for job_id in row["running_jobs"]]
            return next((job_id for job_id in running if job_id in job_ids), None)

        found = wait_until(find, seconds=30, what="the worker runs one of the jobs")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Site]:
    need_postgres()
    need_rabbitmq()
    need_namespaces()
    with ExitStack() as stack:
        site = Site(tmp_path_factory.mktemp("site"), s3_server, stack)
        try:
            site.cluster.start()
            yield site
        finally:
            codes = site.cluster.close()
    if path := os.environ.get("HEIMDALL_FAULT_RESULTS"):
        site.add_line(Path(path))
    assert codes == [0, 0, 0, 0]


@pytest.fixture(scope="module")
def dataset_id(site: Site) -> str:
    return site.apis[0].generate("few", 300)


@pytest.fixture(scope="module")
def undisturbed(site: Site, dataset_id: str) -> Record:
    """What such a job leaves when nothing happens to it."""
    job_id = site.apis[0].submit(slow(dataset_id, epochs=EPOCHS))
    site.apis[0].wait_ended(job_id)
    return record(site.apis[0], job_id)


# Each breaks something, waits for what must follow, and mends it.


def kill_a_worker_with_its_machine(site: Site, job_ids: list[str]) -> None:
    worker = site.cluster.workers[1]
    job_id = site.running_on(worker, job_ids)
    worker.kill_machine()
    wait_until(lambda: _is_recovered(site, job_id), seconds=40, what="the loss is noticed by its lease")
    worker.start()


def kill_an_api_process(site: Site, job_ids: list[str]) -> None:
    site.apis[1].serve.kill()
    assert site.apis[0].job(job_ids[0])["status"] == "running"
    site.apis[1].serve.start()
    wait_until(site.apis[1].answers, seconds=60, what="the API process is ready again")


def stop_and_start_rabbitmq(site: Site, job_ids: list[str]) -> None:
    site.rabbit.stop()
    for api in site.apis:
        wait_until(lambda api=api: not api.answers(), seconds=20, what="it knows")
    waiting = site.apis[1].submit(slow(_dataset_of(site, job_ids), epochs=EPOCHS))
    assert site.apis[0].job(waiting)["status"] == "pending"
    job_ids.append(waiting)
    site.rabbit.start()


def restart_postgresql(site: Site, job_ids: list[str]) -> None:
    site.postgres.stop("immediate")
    wait_until(lambda: site.apis[0].api.get("/jobs").status_code == 503, seconds=15, what="the API says so")
    site.postgres.start()


def fail_every_request_to_s3(site: Site, job_ids: list[str]) -> None:
    site.s3_line.answer(ERROR)
    before = site.s3_line.num_answers
    wait_until(lambda: site.s3_line.num_answers >= before + 20, seconds=60, what="many requests have failed")
    site.s3_line.mend()


def hang_s3_for_a_minute(site: Site, job_ids: list[str]) -> None:
    site.s3_line.stall()
    gone_at = time.monotonic()
    answer = site.apis[0].api.get(f"/jobs/{job_ids[0]}/artifacts/checkpoints/last.pth", timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "object store" in answer.json()["detail"]
    assert not site.apis[0].answers()
    time.sleep(gone_at + S3_GONE_SECONDS - time.monotonic())  # an outage is a length of time
    site.s3_line.mend()
    waits = [line["message"] for line in site.apis[0].api.get(f"/jobs/{job_ids[0]}/logs").json()["lines"]]
    assert any("The object store is away; the job waits for it" in line for line in waits)


def cut_a_worker_off(site: Site, job_ids: list[str]) -> None:
    job_id = site.running_on(site.far_worker, job_ids)
    processes = site.apis[0].job_processes()
    process = psutil.Process(processes[job_id])
    site.network.cut()
    wait_until(lambda: _is_recovered(site, job_id), seconds=40, what="its job is given to others")
    assert process.is_running(), "who was cut off trains on until it hears that it lost the job"
    site.network.mend()
    wait_until(lambda: not process.is_running(), seconds=60, what="the process that lost its job ends")


FAULTS: list[Callable[[Site, list[str]], None]] = [
    kill_a_worker_with_its_machine,
    kill_an_api_process,
    stop_and_start_rabbitmq,
    restart_postgresql,
    fail_every_request_to_s3,
    hang_s3_for_a_minute,
    cut_a_worker_off,
]


@pytest.mark.parametrize("turn", range(NUM_ROUNDS))
@pytest.mark.parametrize("strike", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_or_run_twice(
    site: Site, dataset_id: str, undisturbed: Record, strike: Callable[[Site, list[str]], None], turn: int
) -> None:
    job_ids = [site.apis[number % 2].submit(slow(dataset_id, epochs=EPOCHS)) for number in range(2)]
    followers = [Follower(site.apis, job_id) for job_id in job_ids]
    for job_id in job_ids:
        site.apis[0].wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="both workers train")
    site.struck[strike.__name__] += 1
    strike(site, job_ids)
    for api in site.apis:
        wait_until(api.answers, seconds=60, what="all is well again")
    for job_id in job_ids:
        job = site.apis[0].wait_ended(job_id)
        assert (job["status"], job["error_message"]) == ("completed", None)
        assert record(site.apis[0], job_id) == undisturbed
        for api in site.apis:
            assert_whole_log(api, job_id)
        trained = [event["data"] for event in site.apis[0].events(job_id) if event["event"] == "training:checkpoint"]
        assert [data["epoch"] for data in trained] == list(range(1, EPOCHS + 1))
    for follower, job_id in zip(followers, job_ids, strict=False):
        follower.join(timeout=30)
        assert follower.events == site.apis[0].events(job_id)
    site.cluster.wait_for_workers(2)
    site.held[strike.__name__] += 1


def _is_recovered(site: Site, job_id: str) -> bool:
    return "training:recovered" in [event["event"] for event in site.apis[0].events(job_id)]


def _dataset_of(site: Site, job_ids: list[str]) -> str:
    return site.apis[0].job(job_ids[0])["dataset_id"]
