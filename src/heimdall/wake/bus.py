"""Hears of events of all jobs from the message bus. What it hears only says when to look into the database."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from yarl import URL

from heimdall.domain.events import EventName, routing_key
from heimdall.domain.signals import ChangeSignal
from heimdall.wake.exchange import EXCHANGE
from heimdall.wake.news import News

QUEUE_PREFIX = "heimdall.websocket.events."
PREFETCH = 100
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 1.0
HEARTBEAT_SECONDS = 10
DELETED = routing_key(EventName.DELETED, "")
logger = logging.getLogger(__name__)


class BusSignal(News):
    """The ChangeSignal port on an exclusive queue of its own; says "look" for each event and after each reconnect."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = URL(url).update_query(heartbeat=HEARTBEAT_SECONDS)
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()], name="bus")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        closing = asyncio.ensure_future(self._closing.wait())
        is_away = False
        while not closing.done():
            listening = asyncio.ensure_future(self._listen())
            await asyncio.wait([listening, closing], return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            try:
                await listening
            except asyncio.CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, it is tried again
                if not is_away:
                    logger.warning("The message bus is away; live views look into the database: %s", error)
                is_away = True
            else:
                is_away = False
            await asyncio.wait([closing], timeout=RETRY_SECONDS)

    async def _listen(self) -> None:
        """Returns, or raises, when the connection is lost."""
        async with aio_pika.Connection(self._url) as connection:  # closed also when it never came about
            await connection.connect(timeout=CONNECT_SECONDS)
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=False)
            queue = await channel.declare_queue(f"{QUEUE_PREFIX}{uuid4()}", exclusive=True, auto_delete=True)
            await queue.bind(exchange, "#")
            await queue.consume(self._heard)
            self.tell()
            await channel.closed()

    async def _heard(self, message: AbstractIncomingMessage) -> None:
        key = message.routing_key or ""
        self.tell(deleted=key.removeprefix(DELETED) if key.startswith(DELETED) else None)
        await message.ack()


class EitherSignal:
    """The ChangeSignal port that listens to several."""

    def __init__(self, signals: Sequence[ChangeSignal]) -> None:
        self._signals = signals

    def poll(self) -> bool:
        heard = [signal.poll() for signal in self._signals]  # each must be asked
        return any(heard)

    def take_deleted(self) -> list[str]:
        return [job_id for signal in self._signals for job_id in signal.take_deleted()]

    def close(self) -> None:
        for signal in self._signals:
            signal.close()
