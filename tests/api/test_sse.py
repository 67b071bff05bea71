"""Server-sent events through a real server."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.installation import Installation
from tests.api.sockets import log_of, submit
from tests.api.worker import Run


class Message:
    def __init__(self, block: str) -> None:
        self.fields: dict[str, str] = {}
        for line in block.splitlines():
            name, _, value = line.partition(": ")
            self.fields[name] = value

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.fields["data"])


def blocks(response: httpx2.Response) -> Iterator[Message]:
    text = ""
    for chunk in response.iter_text():
        text += chunk
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            yield Message(block)


def stream(port: int, job_id: str, **options: Any) -> Any:
    url = f"http://localhost:{port}/api/v1/training/jobs/{job_id}/events/stream"
    return httpx2.stream("GET", url, timeout=20, **options)


def test_the_stream_is_the_log(port: int, installation: Installation, run: Run) -> None:
    with stream(port, run.job.id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        messages = blocks(response)
        assert next(messages).fields == {"retry": "3000"}
        run.finish_epoch()
        run.finish()
        found = list(messages)
    log = log_of(installation, run.job.id)
    assert [message.event for message in found] == log
    assert [message.fields["id"] for message in found] == [str(event["seq"]) for event in log]
    assert all(set(message.fields) == {"id", "data"} for message in found)


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"after": 3}},
        {"headers": {"Last-Event-ID": "3"}},
        {"headers": {"Last-Event-ID": "3"}, "params": {"after": 1}},
    ],
)
def test_coming_back_gives_exactly_the_rest(
    port: int, installation: Installation, run: Run, options: dict[str, Any]
) -> None:
    run.finish()
    with stream(port, run.job.id, **options) as response:
        events = [message.event for message in blocks(response) if "data" in message.fields]
    assert events == log_of(installation, run.job.id)[3:]


def test_after_the_last_event_of_an_ended_job_there_is_nothing(port: int, run: Run) -> None:
    seq = run.finish().event_seq
    for options in ({"params": {"after": seq}}, {"headers": {"Last-Event-ID": str(seq)}}):
        with stream(port, run.job.id, **options) as response:
            assert response.status_code == 204
    with stream(port, run.job.id, params={"after": seq - 1}) as response:
        assert response.status_code == 200


def test_types_and_pings(port: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.api.live.sse.PING_SECONDS", 0.1)
    with stream(port, run.job.id, params={"types": "training:completed"}) as response:
        messages = blocks(response)
        assert next(messages).fields == {"retry": "3000"}
        assert next(messages).fields == {"": "ping"}
        run.finish_epoch()
        run.finish()
        events = [message.event["event"] for message in messages if "data" in message.fields]
    assert events == ["training:completed"]


def test_bad_wishes(port: int, run: Run) -> None:
    for options in ({"headers": {"Last-Event-ID": "x"}}, {"params": {"after": -1}}, {"params": {"types": "juggling"}}):
        with stream(port, run.job.id, **options) as response:
            assert response.status_code == 422
            assert response.headers["content-type"] == "application/problem+json"


def test_a_deleted_job_ends_the_stream(port: int, installation: Installation, run: Run) -> None:
    with stream(port, run.job.id) as response:
        messages = blocks(response)
        next(messages)
        installation.stores.jobs.delete(run.job.id)
        events = [message.event for message in messages]
    assert events[-1]["event"] == "training:deleted"
    assert events[-1]["seq"] is None


def test_deleting_a_running_job_ends_the_stream(port: int, run: Run) -> None:
    with stream(port, run.job.id) as response:
        messages = blocks(response)
        next(messages)
        url = f"http://localhost:{port}/api/v1/training/jobs/{run.job.id}"
        assert httpx2.delete(url, timeout=20).status_code == 204
        last = [message.event for message in messages][-1]
    # Its end is told when there was time to read it before the log was gone.
    assert last["event"] == "training:deleted" or last["data"]["status"] == "cancelled"


def test_a_client_that_leaves_is_forgotten(port: int, installation: Installation) -> None:
    hub = installation.app.state.hub
    with stream(port, submit(installation)) as response:
        next(blocks(response))
    with stream(port, submit(installation)) as response:
        next(blocks(response))
        for _ in range(200):
            if hub.num_streams <= 1:
                break
            httpx2.get(f"http://localhost:{port}/healthz")
        assert hub.num_streams <= 1
