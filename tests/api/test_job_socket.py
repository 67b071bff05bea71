"""`/ws/training/{job_id}` through a real server."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from heimdall.api.live.feed import Feed
from heimdall.api.live.frames import event_frame
from heimdall.domain.events import Event, EventName
from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation, open_installation
from tests.api.live_server import serve
from tests.api.sockets import log_of, open_socket, submit
from tests.api.worker import Run

STATUS_FIELDS = {
    "event",
    "job_id",
    "status",
    "current_epoch",
    "total_epochs",
    "progress_percent",
    "metrics",
    "requested",
    "phase",
    "eta_seconds",
    "error_message",
    "timestamp",
    "seq",
}


def test_status_messages_follow_the_job_to_its_end(port: int, installation: Installation) -> None:
    job_id = submit(installation)
    with open_socket(port, f"/ws/training/{job_id}") as watcher:
        hello = watcher.receive()
        assert set(hello) == {"event", "job_id", "timestamp", "message"}
        assert (hello["event"], hello["message"]) == ("connected", "Connected to training job")
        first = watcher.receive()
        assert set(first) == STATUS_FIELDS
        assert (first["event"], first["status"], first["current_epoch"]) == ("training_status", "queued", 0)
        run = installation.worker.claim_job(job_id)
        assert watcher.receive()["status"] == "running"
        run.finish_epoch()
        status = watcher.receive()
        assert (status["current_epoch"], status["metrics"]["val_loss"]) == (1, 0.5)
        run.finish()
        rest = watcher.rest()
        assert rest[-1]["status"] == "completed"
        assert rest[-1]["progress_percent"] == 100
        assert watcher.close_code == 1000


def test_an_ended_job_says_so_and_closes(port: int, run: Run) -> None:
    run.fail("no good")
    with open_socket(port, f"/ws/training/{run.job.id}") as watcher:
        messages = watcher.rest()
        assert [message["event"] for message in messages] == ["connected", "training_status"]
        assert messages[-1]["error_message"] == "no good"
        assert watcher.close_code == 1000


def test_paused_is_no_end(port: int, installation: Installation, run: Run) -> None:
    with open_socket(port, f"/ws/training/{run.job.id}") as watcher:
        run.finish_epoch()
        installation.jobs.pause(run.job.id)
        run.pause()
        while watcher.receive().get("status") != "paused":
            pass
        installation.jobs.resume(run.job.id)
        statuses = [watcher.receive()["status"]]
        while statuses[-1] != "queued":  # resumed and handed out are two changes, which may be shown one by one
            statuses.append(watcher.receive()["status"])
        assert set(statuses[:-1]) <= {"paused", "pending"}


def test_a_change_waits_until_the_message_before_is_old_enough(run: Run) -> None:
    feed = Feed(run.job)
    feed.num_status_followers = 1
    assert feed.is_status_due(1_000.0)
    feed.set_status(run.job, 1_000.0)
    assert not feed.is_status_due(1_001.0)
    feed.append(event_frame(Event(run.job.event_seq + 1, EventName.PHASE, run.job.id, 1, datetime.now(UTC), {})))
    assert not feed.is_status_due(1_000.09)  # ten a second at most
    assert feed.is_status_due(1_000.11)


def test_fast_changes_are_merged(port: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = 0.5
    monkeypatch.setattr("heimdall.api.live.feed.STATUS_GAP_SECONDS", gap)
    with open_socket(port, f"/ws/training/{run.job.id}") as watcher:
        watcher.until("training_status")
        begun = time.monotonic()
        while time.monotonic() - begun < 4 * gap:  # many more changes than may be shown
            run.log("line")
        run.finish()
        statuses = watcher.rest()
        assert 2 <= len(statuses) <= (time.monotonic() - begun) / gap + 2
        assert statuses[-1]["status"] == "completed"


def test_the_state_is_told_while_nothing_happens(port: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.api.live.feed.STATUS_EVERY_SECONDS", 0.2)
    with open_socket(port, f"/ws/training/{run.job.id}") as watcher:
        watcher.receive()
        statuses = [watcher.receive() for _ in range(3)]
    assert {status["seq"] for status in statuses} == {run.job.event_seq}


@pytest.mark.parametrize("path", ["/ws/training/{}", "/ws/training/{}?after=0", "/ws"])
def test_pings_are_answered(port: int, run: Run, path: str) -> None:
    with open_socket(port, path.format(run.job.id)) as client:
        for _ in range(3):
            client.send({"event": "ping"})
        pongs = [message for _ in range(3) for message in client.until("pong") if message["event"] == "pong"]
        assert all(set(pong) == {"event", "timestamp"} for pong in pongs)


def test_a_flood_of_pings_does_not_starve_the_status(port: int, run: Run) -> None:
    with open_socket(port, f"/ws/training/{run.job.id}") as client:
        client.until("training_status")
        for _ in range(3_000):
            client.send({"event": "ping"})
        run.finish()
        messages = client.rest()
    assert messages[-1]["status"] == "completed"


@pytest.mark.parametrize("path", ["/ws/training/{}", "/ws"])
@pytest.mark.parametrize(
    "text", ["no json", "[1]", '"ping"', "NaN", '{"event": "dance"}', "{}", b"\x00\x01", "[" * 20_000]
)
def test_nonsense_is_an_error_and_the_connection_stays(port: int, run: Run, path: str, text: str | bytes) -> None:
    with open_socket(port, path.format(run.job.id)) as client:
        client.send(text)
        error = client.until("error")[-1]
        assert error["message"]
        client.send({"event": "ping"})
        client.until("pong")


@pytest.mark.parametrize("path", ["/ws/training/{}", "/ws"])
def test_a_message_over_64_kib_closes(port: int, run: Run, path: str) -> None:
    with open_socket(port, path.format(run.job.id)) as client:
        client.send("x" * 65_537)
        client.rest()
        assert client.close_code == 1009


@pytest.mark.parametrize("job_id", ["aec9cffb-f1e2-4c95-b0c9-31f08e701e97", "nonsense", "%2e%2e"])
@pytest.mark.parametrize("query", ["", "?after=0"])
def test_an_unknown_job(port: int, job_id: str, query: str) -> None:
    with open_socket(port, f"/ws/training/{job_id}{query}") as client:
        (error,) = client.rest()
        assert error["event"] == "error"
        assert "not found" in error["message"]
        assert client.close_code == 4404


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "after=" + "9" * 40, "types=juggling", "after=0&progress_every=0"]
)
def test_wishes_that_make_no_sense(port: int, run: Run, query: str) -> None:
    with open_socket(port, f"/ws/training/{run.job.id}?{query}") as client:
        (error,) = client.rest()
        assert error["event"] == "error"
        assert client.close_code == 1008


def test_replay_and_live_are_one_list(port: int, installation: Installation, run: Run) -> None:
    run.finish_epoch()
    with (
        open_socket(port, f"/ws/training/{run.job.id}?after=0") as all_of_it,
        open_socket(port, f"/ws/training/{run.job.id}?after=4") as some_of_it,
    ):
        for _ in range(2):
            run.finish_epoch()
        run.finish()
        events, later = all_of_it.rest(), some_of_it.rest()
        assert [message["event"] for message in events[:2]] == ["connected", "training_status"]
        log = log_of(installation, run.job.id)
        assert events[2:] == log
        assert later[2:] == log[4:]
        assert (all_of_it.close_code, some_of_it.close_code) == (1000, 1000)


def test_a_long_history_comes_whole(port: int, installation: Installation, run: Run) -> None:
    run.flood(3_000, 10)
    with open_socket(port, f"/ws/training/{run.job.id}?after=0") as client:
        run.flood(3_000, 10)
        run.finish()
        assert client.rest()[2:] == log_of(installation, run.job.id)


def test_types_and_every_nth_epoch(port: int, installation: Installation) -> None:
    run = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 10})).id)
    path = f"/ws/training/{run.job.id}?after=0&types=training:progress,training:completed&progress_every=4"
    with open_socket(port, path) as client:
        for epoch in range(1, 11):
            run.finish_epoch(is_best=epoch == 6)
        run.finish()
        events = client.rest()[2:]
    assert [event["data"].get("epoch") for event in events[:-1]] == [1, 4, 6, 8, 10]
    assert events[-1]["event"] == "training:completed"


def test_a_retried_job_goes_on(port: int, installation: Installation, run: Run) -> None:
    run.fail("once")
    installation.jobs.retry(run.job.id)
    with open_socket(port, f"/ws/training/{run.job.id}?after=0") as client:
        installation.worker.claim_job(run.job.id).finish()
        assert client.rest()[2:] == log_of(installation, run.job.id)


@pytest.mark.parametrize("query", ["", "?after=0", "?after=0&types=training:progress"])
def test_a_deleted_job_ends_its_streams(port: int, installation: Installation, run: Run, query: str) -> None:
    with open_socket(port, f"/ws/training/{run.job.id}{query}") as client:
        client.until("training_status")
        run.finish_epoch()
        installation.stores.jobs.delete(run.job.id)
        assert client.rest()[-1]["event"] == "training:deleted"
        assert client.close_code == 1000


@pytest.mark.parametrize(
    ("headers", "status"), [({"Origin": "http://evil.example"}, 403), ({"Host": "evil.example"}, 421)]
)
@pytest.mark.parametrize("path", ["/ws", "/ws/training/x"])
def test_foreign_pages_and_hosts_get_no_socket(port: int, path: str, headers: dict[str, str], status: int) -> None:
    options: dict[str, Any] = {"additional_headers": headers}
    with pytest.raises(InvalidStatus) as refused, open_socket(port, path, **options):
        pass
    assert refused.value.response.status_code == status


def test_a_stopping_server_says_come_back(template: Path, tmp_path: Path) -> None:
    with open_installation(template, tmp_path) as stopping, ExitStack() as serving:
        port = serving.enter_context(serve(stopping.app))
        with (
            open_socket(port, f"/ws/training/{submit(stopping)}?after=0") as one,
            open_socket(port, f"/ws/training/{submit(stopping)}") as two,
            open_socket(port, "/ws") as three,
        ):
            one.until("training:queued")
            two.until("training_status")
            three.until("connected")
            serving.close()
            for client in (one, two, three):
                client.rest()
                assert client.close_code == 1012


@pytest.mark.parametrize("types", ["training:progress", "training:progress,training:completed"])
def test_every_nth_epoch_holds_the_last_one_of_a_job_that_stopped_early(
    port: int, installation: Installation, types: str
) -> None:
    run = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 10})).id)
    with open_socket(port, f"/ws/training/{run.job.id}?after=0&types={types}&progress_every=4") as client:
        for _ in range(7):
            run.finish_epoch(is_best=False)
        run.finish()
        events = [message for message in client.rest()[2:] if message["event"] == "training:progress"]
    assert [event["data"]["epoch"] for event in events] == [1, 4, 7]
    with open_socket(port, "/ws") as client:
        client.until("connected")
        client.send({"event": "subscribe", "recent": 10, "jobs": [run.job.id.upper()], "progress_every": 4})
        client.until("subscribed")
        client.send({"event": "ping"})
        events = [message for message in client.until("pong") if message["event"] == "training:progress"]
    assert [event["data"]["epoch"] for event in events] == [1, 4, 7]
