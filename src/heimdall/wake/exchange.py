"""Tells the message bus of events that are stored. The log in the database is the truth; the bus only tells of it."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import gzip
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from kombu.entity import Exchange
from kombu.messaging import Producer

from heimdall.domain.events import NOT_ON_BUS, Event, routing_key
from heimdall.domain.wire import json_text
from heimdall.wake.line import CONFIRM_SECONDS, BrokerLine

EXCHANGE = "heimdall.events"
GZIP_BYTES = 64 * 1024
PAUSES = (0.1, 0.2)  # three tries
logger = logging.getLogger(__name__)


def declare(channel: Any) -> None:
    Exchange(EXCHANGE, type="topic", durable=False, auto_delete=False, channel=channel).declare()


class EventExchange:
    """Publishes on a thread of its own; what cannot be published is counted, never raised."""

    def __init__(self, url: str) -> None:
        self.num_failures = 0
        self._line = BrokerLine(url, "events", opened=declare, pauses=PAUSES)

    def publish(self, events: Sequence[Event]) -> None:
        """Returns at once."""
        for event in events:
            if event.event not in NOT_ON_BUS:
                self._line.submit(Message(event)).add_done_callback(self._count)

    def close(self, seconds: float = 2.0) -> None:
        """Wait at most `seconds` for what is under way."""
        self._line.close(seconds)

    def _count(self, done: "Future[None]") -> None:
        if done.cancelled() or done.exception() is not None:
            self.num_failures += 1


class Message:
    """One event as the bus carries it."""

    def __init__(self, event: Event) -> None:
        self._routing_key = routing_key(event.event, event.job_id)
        self._body = json_text(event.as_dict()).encode()

    def __call__(self, channel: Any) -> None:
        is_long = len(self._body) > GZIP_BYTES
        Producer(channel).publish(
            gzip.compress(self._body) if is_long else self._body,
            exchange=EXCHANGE,
            routing_key=self._routing_key,
            content_type="application/json",
            content_encoding="gzip" if is_long else "utf-8",
            delivery_mode="transient",
            confirm_timeout=CONFIRM_SECONDS,
        )
