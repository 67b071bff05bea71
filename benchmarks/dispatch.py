"""From POST to `running` through RabbitMQ, beside a bare Celery task of the same broker from send to start.

Needs PostgreSQL and RabbitMQ on this machine, and root for a virtual host of its own.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery

from pairs import save

PORT = 8979
API = f"http://127.0.0.1:{PORT}/api/v1/training"
NAME = "heimdall_bench_dispatch"
BROKER = f"amqp://guest:guest@127.0.0.1:5672/{NAME}"
BAR_SECONDS = 0.1
NUM_PAIRS = 40
CONFIG = {"model_architecture": "triangulation", "epochs": 1, "num_workers": 0}

app = Celery("dispatch", broker=BROKER, backend="rpc://")
app.conf.task_default_queue = "bare"


@app.task(name="started_at")
def started_at() -> float:
    return time.time()


def call(method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{API}{path}", data=data, method=method, headers=headers), timeout=30
    ) as answer:
        return json.load(answer)


def wait_ready() -> None:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
                if json.load(answer)["status"] == "ready":
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)


def wait_ended(job_id: str) -> None:
    while call("GET", f"/jobs/{job_id}")["job"]["status"] in {"queued", "running"}:
        time.sleep(0.05)


def seconds_to_running(dataset_id: str) -> float:
    sent = time.time()
    job_id = call("POST", "/jobs", {"config": {**CONFIG, "dataset_id": dataset_id}})["id"]
    wait_ended(job_id)
    events = call("GET", f"/jobs/{job_id}/events?types=training:phase")["events"]
    return datetime.fromisoformat(events[0]["timestamp"]).timestamp() - sent


def seconds_to_task() -> float:
    sent = time.time()
    return started_at.delay().get(timeout=30) - sent


def rabbitmqctl(*words: str, check: bool = True) -> None:
    subprocess.run(["rabbitmqctl", "-q", *words], check=check, stderr=subprocess.DEVNULL if not check else None)


def make_homes() -> None:
    drop_homes()
    rabbitmqctl("add_vhost", NAME)
    rabbitmqctl("set_permissions", "-p", NAME, "guest", ".*", ".*", ".*")
    with psycopg.connect("postgresql://root@127.0.0.1/postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {NAME}")


def drop_homes() -> None:
    rabbitmqctl("delete_vhost", NAME, check=False)
    with psycopg.connect("postgresql://root@127.0.0.1/postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def start_all(folder: Path) -> list["subprocess.Popen[bytes]"]:
    environment = os.environ | {
        "HEIMDALL_DATABASE_URL": f"postgresql://root@127.0.0.1/{NAME}",
        "HEIMDALL_BROKER_URL": BROKER,
        "HEIMDALL_ARTIFACTS_URL": (folder / "artifacts").as_uri(),
    }
    bin_folder = Path(sys.executable).parent
    commands = [
        [bin_folder / "heimdall", "serve", "--port", str(PORT), "--data-dir", folder / "api"],
        [bin_folder / "heimdall", "worker", "--data-dir", folder / "worker"],
        [bin_folder / "celery", "-A", "dispatch", "worker", "-P", "solo", "-l", "ERROR"],
    ]
    cwd = Path(__file__).parent
    return [
        subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]


def main() -> None:
    if shutil.which("rabbitmqctl") is None:
        print("There is no RabbitMQ here to measure with.")
        return
    make_homes()
    with tempfile.TemporaryDirectory() as folder:
        processes = start_all(Path(folder))
        try:
            wait_ready()
            made = call("POST", "/synthetic/generate", {"name": "bench", "num_samples": 48})
            wait_ended(made["job_id"])
            seconds_to_running(made["dataset_id"])
            seconds_to_task()
            pairs = [(seconds_to_running(made["dataset_id"]), seconds_to_task()) for _ in range(NUM_PAIRS)]
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait()
            drop_homes()
    ours, bare = (statistics.quantiles(seconds, n=4) for seconds in zip(*pairs, strict=True))
    more = ours[1] - bare[1]
    print(f"POST to running: {ours[1] * 1000:.1f} ms; a bare Celery task: {bare[1] * 1000:.1f} ms (bar: 100 ms more)")
    figures = {
        name: {"median": middle, "lower_quartile": low, "upper_quartile": high}
        for name, (low, middle, high) in {"post_to_running": ours, "bare_celery_task": bare}.items()
    }
    save("dispatch", {"pairs": NUM_PAIRS, "bar_seconds_more": BAR_SECONDS, "seconds_more": more, **figures})


if __name__ == "__main__":
    main()
