"""A WebSocket client for tests, and what it is compared with."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation


class Socket:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def receive(self) -> dict[str, Any]:
        return json.loads(self.connection.recv(timeout=15))

    def rest(self) -> list[dict[str, Any]]:
        """All messages until the server closes."""
        messages: list[dict[str, Any]] = []
        try:
            while True:
                messages.append(self.receive())
        except ConnectionClosed:
            return messages

    def until(self, event: str) -> list[dict[str, Any]]:
        messages = [self.receive()]
        while messages[-1]["event"] != event:
            messages.append(self.receive())
        return messages

    def send(self, body: Any) -> None:
        self.connection.send(body if isinstance(body, str | bytes) else json.dumps(body))

    @property
    def close_code(self) -> int | None:
        return self.connection.protocol.close_code


@contextmanager
def open_socket(port: int, path: str, **options: Any) -> Generator[Socket]:
    connection = cast("ClientConnection", connect(f"ws://localhost:{port}{path}", **options))
    with connection:
        yield Socket(connection)


def submit(installation: Installation) -> str:
    return installation.jobs.create(JobRequest(config={"epochs": 3})).id


def log_of(installation: Installation, job_id: str) -> list[dict[str, Any]]:
    return [event.as_dict() for event in installation.stores.history.events(job_id, limit=100_000)]
