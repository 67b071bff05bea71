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
from tests.api.sockets import open_socket
from tests.api.worker import Run

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
