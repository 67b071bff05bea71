"""Lists, deletes and series beside ten thousand jobs, through the HTTP API, on SQLite and on PostgreSQL.

    python many_jobs.py [--against PATH/TO/PYTHON] [--calls 50] [--jobs 10000] [--points 1000000] [--kind sqlite]

`--against`: the interpreter of another checkout, whose service answers the same calls in turn with ours. PostgreSQL is
left out where there is none.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from pairs import save

API = "/api/v1/training"
SERVER = "postgresql://root@127.0.0.1/postgres"
SORTS = [
    sign + name
    for name in ("created_at", "updated_at", "job_name", "status", "val_loss", "priority")
    for sign in ("", "-")
]
FILTERS = {
    "all": "",
    "status": "&status=completed",
    "two statuses": "&status=failed&status=paused",
    "kind": "&kind=synthetic",
    "tag": "&tag=tenth",
    "q": "&q=NORTH",
    "deep offset": "&offset=9900",
}
BARS = {"list": 50.0, "500 rows": 100.0, "delete": 300.0, "beside 50 slow requests": 100.0}  # ms, of the p95
NUM_SLOW = 50


class Service:
    """One checkout's `heimdall up` on a database of its own, with the crowd in it."""

    def __init__(self, python: Path, folder: Path, kind: str, options: argparse.Namespace) -> None:
        self._python, self._kind = python, kind
        folder.mkdir()
        self._name = f"heimdall_bench_{os.getpid()}_{folder.name}"
        self.url = f"sqlite:///{folder}/heimdall.db"
        if kind == "postgresql":
            self.url = f"postgresql://root@127.0.0.1/{self._name}"
            self._server(f"CREATE DATABASE {self._name}")
        self.special = json.loads(self._crowd(str(options.jobs), str(options.points)))
        self.num_jobs = options.jobs
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = ["up", "--port", str(self.port), "--data-dir", str(folder)]
        self._process = subprocess.Popen(
            [python.parent / "heimdall", *words],
            env=os.environ | {"HEIMDALL_DATABASE_URL": self.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            try:
                if json.loads(self.call("GET", "/readyz")[1])["status"] == "ready":
                    return
            except OSError:
                assert self._process.poll() is None, "the service does not start"
            time.sleep(0.2)

    def _crowd(self, *words: str) -> bytes:
        script = Path(__file__).with_name("crowd.py")
        return subprocess.run([self._python, script, self.url, *words], check=True, stdout=subprocess.PIPE).stdout

    def _server(self, statement: str) -> None:
        with psycopg.connect(SERVER, autocommit=True) as server:
            server.execute(statement.encode())

    def set_running(self, numbers: range) -> list[str]:
        """Make jobs look as if a worker far away ran them."""
        return json.loads(self._crowd("run", str(numbers.start), str(numbers.stop)))

    def call(self, method: str, path: str) -> tuple[float, bytes]:
        """Milliseconds, on a connection of its own, and the body."""
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status in {200, 204}, (path, answer.status, body)
        return 1000 * (time.perf_counter() - begun), body

    def close(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        if self._kind == "postgresql":
            self._server(f"DROP DATABASE {self._name} WITH (FORCE)")


def summary(costs: list[float]) -> dict[str, float]:
    ordered = sorted(costs)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"median_ms": round(statistics.median(costs), 1), "p95_ms": round(p95, 1), "calls": len(costs)}


def in_turn(services: dict[str, Service], ask: Callable[[Service, int], float], calls: int) -> dict[str, Any]:
    """The same call to each service in turn, once unmeasured."""
    costs: dict[str, list[float]] = {name: [] for name in services}
    for index in range(calls + 1):
        for name, service in services.items():
            cost = ask(service, index)
            if index:
                costs[name].append(cost)
    return {name: summary(spent) for name, spent in costs.items()}


def lists(services: dict[str, Service], calls: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for sort in SORTS:
        for name, query in FILTERS.items():
            is_compared = name == "all" or sort == "-created_at"
            asked = services if is_compared else {"ours": services["ours"]}
            path = f"{API}/jobs?sort={sort}{query}"
            found[f"{sort}, {name}"] = in_turn(asked, lambda service, _, path=path: service.call("GET", path)[0], calls)
    return found


def following(services: dict[str, Service], calls: int) -> dict[str, Any]:
    """One page after the other by cursor."""
    cursors: dict[int, str | None] = {}

    def ask(service: Service, _: int) -> float:
        cursor = cursors.get(service.port)
        path = f"{API}/jobs?sort=-val_loss&limit=100" + (f"&cursor={cursor}" if cursor else "")
        cost, body = service.call("GET", path)
        cursors[service.port] = json.loads(body)["next_cursor"]
        return cost

    return in_turn(services, ask, calls)


def deletes(services: dict[str, Service], calls: int) -> dict[str, Any]:
    """Of ended jobs, while one with many points is being deleted."""
    heavy = {
        name: {"ms": round(service.call("DELETE", f"{API}/jobs/{service.special['heavy']}")[0], 1)}
        for name, service in services.items()
    }
    ids = {service.port: listed(service, "status=failed", calls + 1) for service in services.values()}
    costs = in_turn(services, lambda service, i: service.call("DELETE", f"{API}/jobs/{ids[service.port][i]}")[0], calls)
    return {"with many points": heavy, "of ended jobs meanwhile": costs}


def listed(service: Service, query: str, count: int) -> list[str]:
    return [job["id"] for job in json.loads(service.call("GET", f"{API}/jobs?{query}&limit={count}")[1])["jobs"]]


def beside_slow(service: Service, calls: int) -> dict[str, Any]:
    """Health and lists while 50 jobs whose worker does not answer are being deleted."""
    ids = service.set_running(range(100, 100 + NUM_SLOW))
    threads = [threading.Thread(target=service.call, args=["DELETE", f"{API}/jobs/{job_id}"]) for job_id in ids]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    costs: dict[str, list[float]] = {"/health": [], "/jobs": []}
    until = time.monotonic() + 8.0
    while any(thread.is_alive() for thread in threads) and len(costs["/jobs"]) < calls and time.monotonic() < until:
        costs["/health"].append(service.call("GET", "/health")[0])
        costs["/jobs"].append(service.call("GET", f"{API}/jobs")[0])
    num_waiting = sum(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()
    return {**{path: summary(spent) for path, spent in costs.items()}, "still_waiting": num_waiting}


def measure(kind: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    pythons = {"ours": Path(sys.executable)} | ({"theirs": Path(options.against)} if options.against else {})
    with ExitStack() as stack:
        services: dict[str, Service] = {}
        for name, python in pythons.items():
            services[name] = Service(python, folder / f"{kind}_{name}", kind, options)
            stack.callback(services[name].close)
        wide = f"{API}/jobs/{services['ours'].special['wide']}/series"
        calls = options.calls
        return {
            "lists": lists(services, calls),
            "cursor": following(services, calls),
            "500 rows": in_turn(services, lambda service, _: service.call("GET", f"{API}/jobs?limit=500")[0], calls),
            "series": in_turn(services, lambda service, _: service.call("GET", wide)[0], calls),
            "deletes": deletes(services, calls),
            "beside 50 slow requests": {name: beside_slow(service, calls) for name, service in services.items()},
        }


def has_postgres() -> bool:
    try:
        psycopg.connect(SERVER).close()
    except psycopg.OperationalError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=["sqlite", "postgresql"], action="append")
    options = parser.parse_args()
    kinds = options.kind or ["sqlite", *(["postgresql"] if has_postgres() else [])]
    folder = Path(tempfile.mkdtemp(prefix="many-jobs-"))
    figures: dict[str, Any] = {"num_jobs": options.jobs, "num_points": options.points, "bars_ms": BARS}
    try:
        for kind in kinds:
            figures[kind] = measure(kind, options, folder)
            print(f"-- {kind}")
            print(json.dumps(figures[kind], indent=1))
    finally:
        shutil.rmtree(folder)
    save("many_jobs", figures)


if __name__ == "__main__":
    main()
