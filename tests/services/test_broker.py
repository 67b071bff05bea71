"""Wake-ups and events through a real RabbitMQ: what is sent, to the letter, and what happens when it is away."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from heimdall.domain.errors import BrokerUnavailableError
from heimdall.domain.events import Event, EventName, deleted_event
from heimdall.wake.bus import BusSignal
from heimdall.wake.exchange import EventExchange
from heimdall.wake.line import describe_broker
from heimdall.wake.rabbitmq import CeleryWake
from tests.e2e.cut_line import CutLine
from tests.e2e.service import wait_until
from tests.services.rabbitmq import SHARED, SharedRabbit

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def event(name: EventName, job_id: str = "j", seq: int = 7, **data: Any) -> Event:
    return Event(seq, name, job_id, 2, NOW, data)


class Listener:
    """Another program on the bus."""

    def __init__(self, url: str, queue: Queue) -> None:
        self._connection = Connection(url)
        channel: Any = self._connection.channel()
        bind: Any = queue
        self._queue: Any = bind(channel)
        self._queue.declare()

    def next(self) -> Any:
        return wait_until(self._queue.get, seconds=10, what="a message")

    def num_waiting(self) -> int:
        return self._queue.queue_declare(passive=True).message_count

    def close(self) -> None:
        self._connection.release()


@pytest.fixture
def bus_listener(broker_url: str) -> Iterator[Listener]:
    exchange = Exchange("heimdall.events", type="topic", durable=False, auto_delete=False)
    listener = Listener(broker_url, Queue(exchange=exchange, routing_key="#", exclusive=True, auto_delete=True))
    yield listener
    listener.close()


@pytest.fixture
def line(broker_url: str) -> Iterator[tuple[CutLine, str]]:
    """The way to the broker, and the address through it."""
    cut_line = CutLine(SHARED)
    yield cut_line, broker_url.replace(f":{SHARED[1]}/", f":{cut_line.port}/")
    cut_line.close()


# Events


def test_an_event_is_published_as_the_contract_says(broker_url: str, bus_listener: Listener) -> None:
    publisher = EventExchange(broker_url)
    publisher.publish([event(EventName.PROGRESS, epoch=1, metrics={"val_loss": float("nan")})])
    message = bus_listener.next()
    assert message.delivery_info["exchange"] == "heimdall.events"
    assert message.delivery_info["routing_key"] == "training.progress.j"
    assert message.content_type == "application/json"
    assert message.content_encoding == "utf-8"
    assert message.properties["delivery_mode"] == 1
    assert "expiration" not in message.properties
    assert json.loads(message.body) == {
        "seq": 7,
        "event": "training:progress",
        "job_id": "j",
        "attempt": 2,
        "timestamp": "2026-01-02T03:04:05Z",
        "data": {"job_id": "j", "epoch": 1, "metrics": {"val_loss": None}},
    }
    publisher.close()


def test_what_is_not_for_the_bus_stays_off_it_and_the_rest_keeps_its_order(
    broker_url: str, bus_listener: Listener
) -> None:
    publisher = EventExchange(broker_url)
    publisher.publish([event(name, seq=seq) for seq, name in enumerate(EventName, start=1)])
    publisher.publish([deleted_event("gone", NOW)])
    expected = [name for name in EventName if name not in {"training:metrics", "training:log", "training:system"}]
    messages = [bus_listener.next() for _ in range(len(expected) + 1)]
    assert [json.loads(message.body)["event"] for message in messages[:-1]] == expected
    keys = [message.delivery_info["routing_key"] for message in messages]
    assert keys[-2:] == ["dataset.generation.j", "training.deleted.gone"]
    deleted = json.loads(messages[-1].body)
    assert (deleted["seq"], deleted["attempt"], deleted["data"]) == (None, None, {"job_id": "gone"})
    publisher.close()
    assert bus_listener.num_waiting() == 0


def test_a_long_event_is_compressed(broker_url: str, bus_listener: Listener) -> None:
    publisher = EventExchange(broker_url)
    publisher.publish([event(EventName.WARNING, message="x" * 70_000)])
    message = bus_listener.next()
    assert message.content_encoding == "gzip"
    body = message.body
    assert isinstance(body, bytes)
    assert len(body) < 1000
    assert json.loads(gzip.decompress(body))["data"]["message"] == "x" * 70_000
    publisher.close()


def test_a_lost_exchange_is_declared_again(broker_url: str) -> None:
    publisher = EventExchange(broker_url)
    signal = BusSignal(broker_url)
    try:
        wait_until(signal.poll, seconds=10, what="it listens")
        vhost = urlsplit(broker_url).path[1:]
        with Connection(broker_url) as connection:
            Exchange("heimdall.events", channel=connection.channel()).delete()
        publisher.publish([event(EventName.CREATED)])
        publisher.close()
        assert publisher.num_failures == 0
        assert "heimdall.events\ttopic\tfalse\tfalse" in SharedRabbit().ctl(
            "list_exchanges", "-p", vhost, "name", "type", "durable", "auto_delete"
        )
    finally:
        signal.close()


def test_what_cannot_be_published_is_counted_and_told_once(
    line: tuple[CutLine, str], caplog: pytest.LogCaptureFixture
) -> None:
    way, url = line
    publisher = EventExchange(url)
    way.cut()
    begun = time.monotonic()
    publisher.publish([event(EventName.CREATED), event(EventName.QUEUED)])
    assert time.monotonic() - begun < 0.1
    wait_until(lambda: publisher.num_failures == 2, seconds=20, what="both were given up")
    assert caplog.text.count("is away") == 1
    assert "guest:guest" not in caplog.text
    way.mend()
    publisher.publish([event(EventName.PHASE)])
    publisher.close()
    assert publisher.num_failures == 2


def test_a_process_that_ends_waits_for_its_last_events_but_not_for_a_broker_that_is_away(
    line: tuple[CutLine, str], bus_listener: Listener
) -> None:
    way, url = line
    publisher = EventExchange(url)
    publisher.publish([event(EventName.COMPLETED, seq=seq) for seq in range(50)])
    publisher.close(5.0)
    assert [json.loads(bus_listener.next().body)["seq"] for _ in range(50)] == list(range(50))
    publisher = EventExchange(url)
    way.stall()
    publisher.publish([event(EventName.COMPLETED)])
    begun = time.monotonic()
    publisher.close(1.0)
    assert time.monotonic() - begun < 1.5


def test_the_signal_hears_events_deletions_and_each_reconnect(line: tuple[CutLine, str], broker_url: str) -> None:
    way, url = line
    publisher = EventExchange(broker_url)
    signals = [BusSignal(url), BusSignal(broker_url)]
    try:
        for signal in signals:
            wait_until(signal.poll, seconds=10, what="it listens")
            assert not signal.poll()
        publisher.publish([event(EventName.CREATED), deleted_event("gone", NOW)])
        for signal in signals:
            wait_until(lambda heard=signal: heard.take_deleted() == ["gone"], seconds=10, what="it hears")
            assert signal.poll()
        vhost = urlsplit(broker_url).path[1:]
        rows = SharedRabbit().ctl("list_queues", "-p", vhost, "name", "exclusive", "auto_delete").splitlines()
        own = [row.split("\t")[1:] for row in rows if row.startswith("heimdall.websocket.events.")]
        assert own == [["true", "true"]] * 2
        way.cut()
        publisher.publish([event(EventName.QUEUED)])
        way.mend()
        wait_until(signals[0].poll, seconds=20, what="it is back and says so")
    finally:
        publisher.close()
        for signal in signals:
            signal.close()


# Wake-ups


def test_the_doctor_says_which_broker_it_is_or_why_it_cannot_be_used(line: tuple[CutLine, str]) -> None:
    way, url = line
    assert describe_broker(url).startswith("RabbitMQ ")
    way.cut()
    with pytest.raises(BrokerUnavailableError) as refused:
        describe_broker(url)
    assert "guest:guest" not in str(refused.value)


@pytest.fixture
def worker_wake(broker_url: str) -> Iterator[CeleryWake]:
    wake = CeleryWake(broker_url, has_slots=True)
    yield wake
    wake.close()


@pytest.fixture
def api_wake(line: tuple[CutLine, str]) -> Iterator[CeleryWake]:
    wake = CeleryWake(line[1], has_slots=False)
    yield wake
    wake.close()


@pytest.fixture
def training_queue(broker_url: str, api_wake: CeleryWake) -> Iterator[Listener]:
    """Beside the workers; the queue exists once something was sent."""
    api_wake.send("first", str(uuid4()))
    with Connection(broker_url) as connection:
        connection.channel().queue_purge("training")
    listener = Listener(broker_url, Queue("training", exchange="training", routing_key="training"))
    yield listener
    listener.close()


def test_a_wake_up_is_a_celery_task_under_its_id(api_wake: CeleryWake, training_queue: Listener) -> None:
    api_wake.send("the-job", "the-task")
    message = training_queue.next()
    assert message.headers["task"] == "heimdall.wake"
    assert message.headers["id"] == "the-task"
    assert json.loads(message.body)[0] == ["the-job"]


def test_a_worker_hears_and_keeps_no_message(
    worker_wake: CeleryWake, api_wake: CeleryWake, training_queue: Listener
) -> None:
    api_wake.send("job", str(uuid4()))
    assert worker_wake.wait(20)
    while worker_wake.wait(0.5):
        pass
    api_wake.send("job", str(uuid4()))
    assert worker_wake.wait(5)
    assert not worker_wake.wait(0)
    assert training_queue.num_waiting() == 0


def test_a_worker_without_a_free_slot_leaves_messages_to_others(
    worker_wake: CeleryWake, api_wake: CeleryWake, training_queue: Listener, broker_url: str
) -> None:
    api_wake.send("job", str(uuid4()))
    assert worker_wake.wait(20)
    while worker_wake.wait(0.5):
        pass  # also one that an earlier worker left without acknowledging it
    worker_wake.welcome(is_free=False)
    vhost = urlsplit(broker_url).path[1:]

    def num_consumers() -> int:
        rows = SharedRabbit().ctl("list_queues", "-p", vhost, "name", "consumers").splitlines()
        return int(next(row.split("\t")[1] for row in rows if row.startswith("training\t")))

    wait_until(lambda: num_consumers() == 0, seconds=10, what="it stops listening")
    api_wake.send("job", str(uuid4()))
    assert training_queue.num_waiting() == 1
    other = CeleryWake(broker_url, has_slots=False)
    other.send("another", str(uuid4()))
    other.close()
    assert training_queue.num_waiting() == 2
    worker_wake.welcome(is_free=True)
    assert worker_wake.wait(5)
    wait_until(lambda: training_queue.num_waiting() == 0, seconds=5, what="it takes both")


@pytest.mark.parametrize("how", ["cut", "stall"])
def test_a_broker_that_is_away_is_told_within_two_seconds_and_found_again(
    api_wake: CeleryWake, line: tuple[CutLine, str], worker_wake: CeleryWake, how: str
) -> None:
    way, _ = line
    api_wake.send("job", str(uuid4()))
    assert not api_wake.is_away
    way.cut() if how == "cut" else way.stall()
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        api_wake.send("job", str(uuid4()))
    assert time.monotonic() - begun < 3
    wait_until(lambda: api_wake.is_away, seconds=10, what="it is known to be away")
    way.mend()
    wait_until(lambda: not api_wake.is_away, seconds=10, what="it is found again")
    while worker_wake.wait(0.5):
        pass
    api_wake.send("job", str(uuid4()))
    assert worker_wake.wait(10)


def test_a_broker_that_leaves_is_noticed_without_sending(api_wake: CeleryWake, line: tuple[CutLine, str]) -> None:
    api_wake.send("job", str(uuid4()))
    line[0].cut()
    wait_until(lambda: api_wake.is_away, seconds=5, what="it is noticed")


def test_a_worker_whose_connection_was_closed_listens_again(
    worker_wake: CeleryWake, broker_url: str, api_wake: CeleryWake
) -> None:
    api_wake.send("job", str(uuid4()))
    assert worker_wake.wait(20)
    SharedRabbit().ctl("close_all_connections", "--vhost", urlsplit(broker_url).path[1:], "test")
    wait_until(lambda: _sent(api_wake) and worker_wake.wait(1.0), seconds=20, what="it hears again")


def _sent(wake: CeleryWake) -> bool:
    try:
        wake.send("job", str(uuid4()))
    except BrokerUnavailableError:
        return False
    return True
