"""A job longer than RabbitMQ's consumer timeout, and what happens beside it: short jobs, a lost message, a lost broker.

The tests follow each other on one cluster, whose RabbitMQ is its own; the long job runs all the while.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
import pytest
from kombu.connection import Connection

from tests.e2e.service import RunningService, wait_until
from tests.e2e.small_jobs import slow, small
from tests.services.cluster import Cluster
from tests.services.postgres import need_postgres
from tests.services.rabbitmq import OwnRabbit, need_rabbitmq

CONSUMER_TIMEOUT_SECONDS = 60
LONG_SECONDS = 90
LOOK_SECONDS = 5  # how often a worker looks without having been woken


@dataclass(frozen=True, slots=True)
class Place:
    cluster: Cluster
    rabbit: OwnRabbit
    dataset_id: str
    long_job: str
    begun: float

    @property
    def api(self) -> RunningService:
        return self.cluster.apis[0]

    def seconds(self) -> float:
        """How long the long job runs."""
        return time.monotonic() - self.begun


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    need_postgres()
    need_rabbitmq()
    folder = tmp_path_factory.mktemp("long")
    rabbit = OwnRabbit(folder / "rabbit", settings=f"consumer_timeout = {CONSUMER_TIMEOUT_SECONDS * 1000}\n").start()
    # How often RabbitMQ looks for consumers past their time: every minute by default.
    rabbit.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 5000).")
    cluster = Cluster(folder, broker=rabbit)
    try:
        cluster.start()
        api = cluster.apis[0]
        dataset_id = api.generate("few", 300)
        long_job = api.submit(slow(dataset_id, epochs=1000))
        api.wait_job(long_job, lambda job: job["current_epoch"] >= 1, what="the long job trains")
        yield Place(cluster, rabbit, dataset_id, long_job, time.monotonic())
    finally:
        codes = cluster.close()
        rabbit.stop()
    assert codes == [0, 0, 0, 0]


def moments(service: RunningService, job_id: str) -> tuple[datetime, datetime]:
    """When a worker took it, and when it ended."""
    events: list[dict[str, Any]] = service.events(job_id)
    taken = next(event for event in events if event["data"].get("phase") == "starting")
    return datetime.fromisoformat(taken["timestamp"]), datetime.fromisoformat(events[-1]["timestamp"])


def test_short_jobs_go_by_priority_and_leave_no_worker_idle(place: Place) -> None:
    api = place.api
    first = api.submit(small(place.dataset_id, epochs=5))
    api.wait_job(first, lambda job: job["status"] == "running", what="both workers are busy")
    queue = Connection(place.cluster.broker_url)
    channel: Any = queue.channel()
    wait_until(lambda: _consumers(channel) == 0, seconds=5, what="both workers leave messages to others")
    channel.queue_purge("training")
    jobs = {priority: api.submit(small(place.dataset_id, epochs=2), priority=priority) for priority in (1, 5, -3, 9)}
    wait_until(lambda: _threw_away(channel), seconds=5, what="a message is thrown away")
    queue.release()
    for job_id in jobs.values():
        assert api.wait_ended(job_id)["status"] == "completed"
    order = sorted(jobs, key=lambda priority: moments(api, jobs[priority])[0])
    assert order == [9, 5, 1, -3]
    ended = moments(api, first)[1]
    for priority in order:
        taken, end = moments(api, jobs[priority])
        assert (taken - ended).total_seconds() < LOOK_SECONDS - 1, "it was not woken but looked"
        ended = end
    assert api.job(place.long_job)["status"] == "running"


def _threw_away(channel: Any) -> bool:
    return channel.basic_get("training", no_ack=True) is not None


def _consumers(channel: Any) -> int:
    return channel.queue_declare("training", passive=True).consumer_count


def test_a_lost_message_costs_seconds(place: Place) -> None:
    with Connection(place.cluster.broker_url) as connection:
        channel: Any = connection.channel()
        wait_until(lambda: _consumers(channel) == 1, seconds=5, what="the free worker listens")
        channel.queue_unbind("training", "training", "training")
        job_id = place.api.submit(small(place.dataset_id, epochs=1))
        channel.queue_bind("training", "training", "training")
    place.api.wait_job(job_id, lambda job: job["status"] != "queued", seconds=LOOK_SECONDS + 3, what="it is found")
    assert place.api.wait_ended(job_id)["attempt"] == 1


def test_jobs_stay_pending_while_the_broker_is_away_and_go_out_when_it_is_back(place: Place) -> None:
    api, other = place.cluster.apis
    wait_until(lambda: place.seconds() > CONSUMER_TIMEOUT_SECONDS + 15, seconds=90, what="the consumer timeout is over")
    assert api.job(place.long_job)["status"] == "running"
    place.rabbit.stop()
    for one in (api, other):
        wait_until(lambda one=one: "broker" in _ready(one)["down"], seconds=20, what="it knows that the broker is away")
        assert _ready(one)["status"] == "degraded"
    begun = time.monotonic()
    jobs = [one.submit(small(place.dataset_id, epochs=1)) for one in (api, other)]
    assert time.monotonic() - begun < 2 * 2.5
    assert [api.job(job_id)["status"] for job_id in jobs] == ["pending", "pending"]
    assert "heimdall_broker_away 1.0" in httpx2.get(f"{api.url}/metrics").text
    wait_until(lambda: _publish_failures(api) > 0, seconds=20, what="events that were not told are counted")
    before = api.job(place.long_job)["current_epoch"]
    place.rabbit.start()
    for job_id in jobs:
        assert api.wait_ended(job_id, seconds=60)["status"] == "completed"
        names = [event["event"] for event in api.events(job_id)]
        assert names.count("training:started") == 1
    assert api.job(place.long_job)["current_epoch"] > before
    for one in (api, other):
        wait_until(lambda one=one: _ready(one)["status"] == "ready", seconds=20, what="all is well again")


def test_the_long_job_was_neither_killed_nor_run_twice_and_both_workers_live(place: Place) -> None:
    wait_until(lambda: place.seconds() > LONG_SECONDS, seconds=LONG_SECONDS, what="it ran for long")
    place.api.act(place.long_job, "pause")  # how fast it trains depends on the machine, so it is told when to end
    job = place.api.wait_job(place.long_job, lambda job: job["status"] == "paused", seconds=30, what="it pauses")
    assert (job["attempt"], job["restarts"], job["warnings"]) == (1, 0, [])
    rows = place.api.api.get(f"/jobs/{place.long_job}/metrics", params={"limit": 1000}).json()
    assert [row["epoch"] for row in rows] == list(range(1, job["current_epoch"] + 1))
    place.api.act(place.long_job, "cancel")
    assert len(place.api.api.get("/workers").json()) == 2
    for worker in place.cluster.workers:
        worker.check()
        assert "PreconditionFailed" not in worker.log.read_text()


def _ready(service: RunningService) -> dict[str, Any]:
    return httpx2.get(f"{service.url}/readyz", timeout=10).json()


def _publish_failures(service: RunningService) -> float:
    text = httpx2.get(f"{service.url}/metrics").text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("heimdall_publish_failures_t"))
