"""`/ws` through a real server."""

from typing import Any

import pytest

from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation
from tests.api.sockets import Socket, log_of, open_socket, submit


def mine(messages: list[dict[str, Any]], *job_ids: str) -> list[dict[str, Any]]:
    """Events of the log, of these jobs."""
    return [message for message in messages if message.get("job_id") in job_ids and message.get("seq")]


def through(socket: Socket, *job_ids: str) -> list[dict[str, Any]]:
    """All messages until these jobs have completed, in whichever order: only the events of one job are in order."""
    messages, missing = list[dict[str, Any]](), set(job_ids)
    while missing:
        messages.append(socket.receive())
        if messages[-1]["event"] == "training:completed":
            missing.discard(messages[-1]["job_id"])
    return messages


def light(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    heavy = {"training:metrics", "training:log", "training:system"}
    return [event for event in log if event["event"] not in heavy]


def test_all_events_of_all_jobs(port: int, installation: Installation) -> None:
    old = submit(installation)
    before = len(log_of(installation, old))
    with open_socket(port, "/ws") as client:
        client.until("connected")
        first = installation.worker.claim_job(old)
        second = installation.worker.claim_job(submit(installation))
        for run in (first, second):
            run.log("hidden")
            run.finish_epoch()
        first.finish()
        second.finish()
        messages = through(client, old, second.job.id)
    assert mine(messages, second.job.id) == light(log_of(installation, second.job.id))
    old_log = light(log_of(installation, old))
    assert mine(messages, old) == [
        event for event in old_log if event["seq"] > before
    ]  # what happened before stays out


def test_job_updates_for_lists(port: int, installation: Installation) -> None:
    with open_socket(port, "/ws") as client:
        client.until("connected")
        run = installation.worker.claim_job(submit(installation))
        installation.jobs.pause(run.job.id)
        run.finish_epoch()
        run.pause()
        installation.jobs.resume(run.job.id)
        installation.jobs.cancel(run.job.id)
        messages = through(client, run.job.id)
        while messages[-1]["event"] != "training_job_update" or messages[-1]["data"]["action"] != "cancelled":
            messages.append(client.receive())
        installation.stores.jobs.delete(run.job.id)
        deleted = client.until("training_job_update")
    updates = [m for m in messages if m["event"] == "training_job_update" and m["job_id"] == run.job.id]
    actions = ["created", "queued", "paused", "resumed", "queued", "cancelled"]
    assert [update["data"]["action"] for update in updates] == actions
    assert all("seq" not in update for update in updates)
    assert [message["event"] for message in deleted] == ["training:deleted", "training_job_update"]
    assert deleted[-1]["data"]["action"] == "deleted"


def test_subscribe_replays_and_then_filters(port: int, installation: Installation) -> None:
    run = installation.worker.claim_job(submit(installation))
    run.finish_epoch()
    other = installation.worker.claim_job(submit(installation))
    with open_socket(port, "/ws") as client:
        client.until("connected")
        names = ["training:progress", "training:completed"]
        wish: dict[str, Any] = {"jobs": [run.job.id], "events": names, "after": {run.job.id: 2}}
        client.send({"event": "subscribe", **wish})
        assert client.until("subscribed")[-1]["jobs"] == [run.job.id]
        other.finish_epoch()
        other.finish()
        for _ in range(2):
            run.finish_epoch()
        run.finish()
        messages = through(client, run.job.id)
    log = log_of(installation, run.job.id)
    replayed = [message for message in messages if message.pop("replayed", False)]
    assert replayed == log[2 : len(replayed) + 2]
    live = messages[len(replayed) :]
    assert live == [event for event in log[len(replayed) + 2 :] if event["event"] in names]


def test_a_replay_hides_nothing_and_doubles_nothing(port: int, installation: Installation) -> None:
    run = installation.worker.claim_job(submit(installation))
    with open_socket(port, "/ws") as client:
        client.until("connected")
        client.send({"event": "subscribe", "after": {run.job.id: 0}})
        run.flood(1_000, 10)
        run.finish()
        messages = through(client, run.job.id)
    seqs = [message["seq"] for message in mine(messages, run.job.id)]
    assert len(seqs) == len(set(seqs))
    heavy = {event["seq"] for event in log_of(installation, run.job.id) if event["event"] == "training:metrics"}
    everything = {event["seq"] for event in log_of(installation, run.job.id)}
    assert everything - set(seqs) <= heavy


def test_the_most_recent_events(port: int, installation: Installation) -> None:
    runs = [installation.worker.claim_job(submit(installation)) for _ in range(3)]
    for run in runs:
        run.finish_epoch()
    with open_socket(port, "/ws") as client:
        client.until("connected")
        client.send({"event": "subscribe", "recent": 4})
        client.until("subscribed")
        recent = [client.receive() for _ in range(4)]
    assert all(message["replayed"] for message in recent)
    assert [message["event"] for message in recent] == ["training:checkpoint", "training:progress"] * 2
    assert [message["job_id"] for message in recent] == [runs[1].job.id] * 2 + [runs[2].job.id] * 2


def test_logs_come_when_asked_for(port: int, installation: Installation) -> None:
    run = installation.worker.claim_job(submit(installation))
    with open_socket(port, "/ws") as client:
        client.send({"event": "subscribe", "events": ["training:log"]})
        client.until("subscribed")
        run.log("now you see me")
        assert client.receive()["data"]["lines"][0]["message"] == "now you see me"


@pytest.mark.parametrize(
    "wish",
    [
        {"jobs": "all"},
        {"jobs": [1]},
        {"events": ["juggling"]},
        {"after": {"x": -1}},
        {"after": {"x": 10**30}},
        {"after": []},
        {"recent": 1001},
        {"recent": -1},
        {"recent": 1.5},
        {"progress_every": 0},
        {"nonsense": 1},
    ],
)
def test_a_bad_subscribe_is_an_error_and_the_connection_stays(port: int, wish: dict[str, Any]) -> None:
    with open_socket(port, "/ws") as client:
        client.send({"event": "subscribe", **wish})
        assert client.until("error")[-1]["message"]
        client.send({"event": "subscribe"})
        client.until("subscribed")


def test_heartbeats(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.api.live.sockets.HEARTBEAT_SECONDS", 0.05)
    with open_socket(port, "/ws") as client:
        for _ in range(3):
            assert set(client.until("heartbeat")[-1]) == {"event", "timestamp"}


def test_a_job_that_ended_long_ago_and_is_retried_shows_only_what_is_new(port: int, installation: Installation) -> None:
    run = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 3})).id)
    run.fail("once")
    with open_socket(port, "/ws") as client:
        client.until("connected")
        installation.jobs.retry(run.job.id)
        installation.worker.claim_job(run.job.id).finish()
        events = mine(through(client, run.job.id), run.job.id)
    assert events[0]["event"] == "training:resumed"
