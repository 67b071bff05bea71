"""Following a job's log across connections that break."""

import threading
from typing import Any

import pytest

from heimdall.client import HeimdallClient, ServerUnreachableError
from heimdall.domain.errors import NotFoundError
from tests.client.scripted import Request, ScriptedServer

NAMES = {5: "training:completed"}


def event(seq: int) -> dict[str, Any]:
    name = NAMES.get(seq, "training:progress")
    return {"seq": seq, "event": name, "job_id": "j", "attempt": 1, "timestamp": "2026-01-01T00:00:00Z", "data": {}}


class Log:
    """A server of a log of five events that sends `at_once` of them, then breaks the connection."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def __call__(self, request: Request) -> None:
        after = int(request.query["after"])
        if after == 5:
            request.answer(204, b"")
            return
        rest = [event(seq) for seq in range(after + 1, 6)]
        request.answer_events(*rest[: self.at_once], torn=b'id: 99\ndata: {"seq": 99')


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_each_event_once_and_in_order(at_once: int) -> None:
    with ScriptedServer(Log(at_once)) as server, HeimdallClient(server.url) as client:
        seen = [event["seq"] for event in client.records.follow("j")]
        assert seen == [1, 2, 3, 4, 5]
        assert [event["seq"] for event in client.records.follow("j", after=3)] == [4, 5]


def test_unwanted_types_are_held_back_but_the_end_is_still_seen() -> None:
    with ScriptedServer(Log(5)) as server, HeimdallClient(server.url) as client:
        assert [event["seq"] for event in client.records.follow("j", types=["training:progress"])] == [1, 2, 3, 4]
    assert set(server.requests[0].query["types"].split(",")) == {"training:progress", "training:completed"}


def test_a_server_that_restarts_is_waited_for() -> None:
    refusals = iter([True, True, True])

    def answer(request: Request) -> None:
        if next(refusals, False):
            request.answer_problem(503, detail="Starting.")
        else:
            Log(5)(request)

    with ScriptedServer(answer) as server, HeimdallClient(server.url) as client:
        assert len(list(client.records.follow("j"))) == 5
    assert len(server.requests) == 5


def test_patience_ends() -> None:
    with ScriptedServer(Log(2)) as server:
        client = HeimdallClient(server.url)
        events = client.records.follow("j", patience_seconds=0.3)
        assert next(events)["seq"] == 1
    with client, pytest.raises(ServerUnreachableError):
        list(events)


def test_a_lost_connection_is_reported_with_the_time_left_until_it_is_back() -> None:
    refusals = iter([True, True, True])

    def answer(request: Request) -> None:
        if next(refusals, False):
            request.answer_problem(503, detail="Starting.")
        else:
            Log(5)(request)

    reported: list[float | None] = []
    with ScriptedServer(answer) as server, HeimdallClient(server.url) as client:
        assert len(list(client.records.follow("j", patience_seconds=100, on_connection=reported.append))) == 5
    *left, last = reported
    assert last is None
    assert len(left) == 3
    assert left == sorted((seconds for seconds in left if seconds is not None), reverse=True)
    assert all(seconds is not None and 0 < seconds <= 100 for seconds in left)


def test_a_deleted_job_ends_the_stream() -> None:
    deleted = {**event(3), "event": "training:deleted", "seq": None}
    with (
        ScriptedServer(lambda request: request.answer_events(event(1), deleted)) as server,
        HeimdallClient(server.url) as client,
    ):
        assert [event["event"] for event in client.records.follow("j")] == ["training:progress", "training:deleted"]


def test_an_unknown_job_is_an_error_at_once() -> None:
    with (
        ScriptedServer(lambda request: request.answer_problem(404, detail="Training job j not found")) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(NotFoundError),
    ):
        next(client.records.follow("j"))


def test_reading_can_be_given_up_in_the_middle() -> None:
    with ScriptedServer(Log(5)) as server, HeimdallClient(server.url) as client:
        events = client.records.follow("j")
        next(events)
        events.close()
    assert threading.active_count() == 1
