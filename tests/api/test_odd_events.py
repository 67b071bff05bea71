"""What may stand in stored events: text that no reader can take, and more than fits a frame."""

import csv
import io
import json

import httpx2
import pytest
from sqlalchemy import text

from heimdall.api.live.frames import MAX_FRAME_BYTES
from heimdall.domain.events import EventName, NewEvent
from heimdall.store.history import SqlHistoryStore
from heimdall.store.metrics import rows_of
from tests.api.installation import Installation
from tests.api.sockets import open_socket, submit
from tests.api.worker import Run
from tests.e2e.service import wait_until

ODD = "caf\udce9 and \0 end"


def test_text_that_utf_8_cannot_hold_breaks_no_reader(port: int, installation: Installation, run: Run) -> None:
    run.log("placeholder")
    run.write(events=[NewEvent(EventName.WARNING, {"message": "new " + ODD})])
    history = installation.stores.history
    assert isinstance(history, SqlHistoryStore)
    line = {"line": 1, "time": "2026-01-01T00:00:00Z", "level": "INFO", "message": ODD}
    with history.database.writer.begin() as connection:  # as an older release stored it
        statement = text("UPDATE job_events SET data = :data WHERE job_id = :id AND event = 'training:log'")
        connection.execute(statement, {"data": json.dumps({"lines": [line]}), "id": run.job.id})
    run.finish()
    with open_socket(port, f"/ws/training/{run.job.id}?after=0") as client:
        messages = client.rest()
        assert client.close_code == 1000
    assert any("caf\ufffd and \ufffd end" in json.dumps(message, ensure_ascii=False) for message in messages)
    base = f"http://localhost:{port}/api/v1/training/jobs/{run.job.id}"
    for path in ("", "/logs", "/logs?format=text", "/events", "/events/stream"):
        assert httpx2.get(base + path).status_code == 200, path


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_no_frame_is_over_1_mib(port: int, run: Run, character: str) -> None:
    lines = [{"time": "", "level": "INFO", "message": character * 8_000} for _ in range(200)]
    run.write(events=[NewEvent(EventName.LOG, {"lines": lines})])
    run.fail(character * 3_000_000)
    with open_socket(port, f"/ws/training/{run.job.id}?after=0", max_size=MAX_FRAME_BYTES) as client:
        messages = client.rest()
        assert client.close_code == 1000
    assert "more characters" in messages[-1]["data"]["error_message"]


def test_no_frame_is_over_1_mib_however_many_metrics_an_epoch_has(port: int, run: Run) -> None:
    metrics = {f"{number:06}".ljust(200, "x"): 1.0 for number in range(10_000)}
    run.write(events=[NewEvent(EventName.PROGRESS, {"epoch": 1, "metrics": metrics, "is_best": False})])
    run.finish()
    with open_socket(port, f"/ws/training/{run.job.id}?after=0", max_size=MAX_FRAME_BYTES) as client:
        messages = client.rest()
        assert client.close_code == 1000
    (data,) = [message["data"] for message in messages if message["event"] == "training:progress"]
    assert data["epoch"] == 1
    assert len(data["metrics"]) > 1000


def test_one_event_that_cannot_be_read_holds_up_no_other_job(port: int, installation: Installation, run: Run) -> None:
    history = installation.stores.history
    assert isinstance(history, SqlHistoryStore)
    with open_socket(port, "/ws") as client:
        client.until("connected")
        with history.database.writer.begin() as connection:
            connection.execute(text("UPDATE training_jobs SET event_seq = event_seq + 1, changed = changed + 1"))
            values = {"id": run.job.id, "seq": run.job.event_seq + 1}
            statement = "INSERT INTO job_events SELECT job_id, :seq, 'training:unknown', attempt, timestamp, data, NULL"
            connection.execute(text(f"{statement} FROM job_events WHERE job_id = :id AND seq = 1"), values)
        other = installation.worker.claim_job(submit(installation))
        other.finish()
        messages = client.until("training:completed")
        assert messages[-1]["job_id"] == other.job.id


def test_the_follower_of_all_streams_outlives_an_error(
    port: int, installation: Installation, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[None] = []

    def poll() -> bool:
        calls.append(None)
        raise OSError(24, "Too many open files") if len(calls) < 3 else RuntimeError("a mistake")

    with open_socket(port, f"/ws/training/{run.job.id}?after=0") as client:
        client.until("training_status")
        with monkeypatch.context() as patched:
            patched.setattr(installation.app.state.hub._signal, "poll", poll)
            wait_until(lambda: len(calls) >= 4, seconds=30, what="the follower fails again and again")
        run.finish()
        assert client.until("training:completed")
    assert len([record for record in caplog.records if "try again" in record.getMessage()]) == 1


def test_connected_comes_before_answers(port: int, run: Run) -> None:
    for path in (f"/ws/training/{run.job.id.upper()}", f"/ws/training/{run.job.id}?after=0", "/ws"):
        for _ in range(10):
            with open_socket(port, path) as client:
                client.send({"event": "ping"})
                assert client.receive()["event"] == "connected"


def test_a_stored_metric_never_takes_the_place_of_a_field(port: int, installation: Installation, run: Run) -> None:
    run.finish_epoch()
    history = installation.stores.history
    assert isinstance(history, SqlHistoryStore)
    stored = {"epoch": 99.0, "timestamp": 5.0, "non_finite": 7.0, "attempt": 8.0, "=1+1": 1.0}
    with history.database.writer.begin() as connection:
        statement = text("UPDATE training_metrics SET metrics = :metrics WHERE training_job_id = :id")
        connection.execute(statement, {"metrics": json.dumps(stored), "id": run.job.id})
    (row,), _ = history.database.read(
        lambda c: rows_of(c, run.job.id, limit=10, after_epoch=None, attempt=None),
    )
    assert (row["epoch"], row["attempt"], "non_finite" in row) == (1, 1, False)
    assert row["timestamp"] != 5.0
    url = f"http://localhost:{port}/api/v1/training/jobs/{run.job.id}/metrics?format=csv"
    head, _ = csv.reader(io.StringIO(httpx2.get(url).text))
    assert "'=1+1" in head
    assert "=1+1" not in head


def test_a_page_of_large_events_ends_early_and_says_where_to_go_on(port: int, run: Run) -> None:
    run.flood(1_200, 20_000)
    url = f"http://localhost:{port}/api/v1/training/jobs/{run.job.id}/events"
    seqs: list[int] = []
    while events := httpx2.get(url, params={"after": seqs[-1] if seqs else 0, "limit": 10_000}).json()["events"]:
        assert len(json.dumps(events)) < 20_000_000
        seqs += [event["seq"] for event in events]
    assert seqs == list(range(1, run.job.event_seq + 1_201))
