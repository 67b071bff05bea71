"""Sockets over a database of many jobs: what a client asks for costs a few statements, not one for each job."""

from datetime import UTC, datetime, timedelta

import pytest

from heimdall.api.live.everything import Everything
from heimdall.artifacts import LocalArtifacts
from heimdall.store import Database, open_database, open_stores
from heimdall.store.history import SqlHistoryStore
from tests.api.installation import Installation
from tests.api.sockets import open_socket, submit
from tests.api.worker import Worker
from tests.contract.store.counting import counted
from tests.contract.store.seeding import seed

NUM_JOBS, NUM_EVENTS = 2_000, 10


@pytest.fixture(scope="module")
def database(installation: Installation) -> Database:
    history = installation.stores.history
    assert isinstance(history, SqlHistoryStore)
    seed(history.database, installation.jobs.get(submit(installation)), jobs=NUM_JOBS, events=NUM_EVENTS)
    return history.database


@pytest.mark.parametrize(
    ("wish", "num_events", "most"),
    [
        ({"events": ["training:recovered"], "recent": 1}, 1, 5),
        ({"events": ["training:warning"], "recent": 1_000}, 0, 5),
        ({"recent": 1_000}, 1_000, 20),
        ({"jobs": ["JOB-00007"], "recent": 1_000}, NUM_EVENTS, 5),
        ({"recent": 5, "events": ["training:progress"], "progress_every": 5}, 5, 20),
        ({"after": {f"job-{number:05d}": NUM_EVENTS for number in range(1_000)}}, 0, 5),
    ],
)
def test_the_past_costs_few_statements(
    port: int, database: Database, wish: dict[str, object], num_events: int, most: int
) -> None:
    with open_socket(port, "/ws") as client:
        client.until("connected")
        with counted(database) as statements:
            client.send({"event": "subscribe", **wish})
            client.until("subscribed")
            messages = [client.receive() for _ in range(num_events)]
            client.send({"event": "ping"})
            client.until("pong")  # after the replay
    assert all(message["replayed"] for message in messages)
    assert len([statement for statement, _ in statements if "job_events" in statement]) <= most


def test_a_poll_reads_the_jobs_that_changed(installation: Installation, database: Database) -> None:
    assert database
    run = installation.worker.claim_job(submit(installation))
    everything = Everything.starting_now(installation.stores.history)
    run.finish_epoch()
    assert everything.poll(installation.stores.history) == ({run.job.id: run.job.event_seq + 2}, False)
    assert everything.poll(installation.stores.history) == ({}, False)
    run.finish()


def test_a_worker_with_a_slow_clock_is_followed(port: int, installation: Installation, database: Database) -> None:
    slow = open_database(str(database.url), now=lambda: datetime.now(UTC) - timedelta(seconds=90))
    artifacts = LocalArtifacts(installation.folder / "artifacts", cache=installation.folder / "cache")
    with open_socket(port, "/ws") as client:
        client.until("connected")
        run = Worker(open_stores(slow).attempts, artifacts).claim_job(submit(installation))
        run.finish_epoch()
        run.finish()
        messages = client.until("training:completed")
    assert messages[-1]["job_id"] == run.job.id
    slow.close()
