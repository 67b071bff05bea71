"""A connection that dies during COMMIT leaves a worker not knowing; sending the batch again is then right."""

import socket
import threading
from collections.abc import Iterator

import pytest

from heimdall.domain.attempt import Batch
from heimdall.domain.errors import UnavailableError
from heimdall.domain.ports import Stores
from heimdall.store import open_database, open_stores
from tests.contract.store.making import log_event, points_batch, running, token


class LossyProxy:
    """Stands before PostgreSQL; while `is_lossy` a COMMIT gets through and its answer does not."""

    def __init__(self) -> None:
        self.is_lossy = False
        self.num_lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", 5432))
            lost = threading.Event()
            for call in (self._ask, self._answer):
                threading.Thread(target=call, args=(client, server, lost), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        while data := _receive(client):
            if self.is_lossy and b"COMMIT" in data:
                lost.set()
            server.sendall(data)
        server.close()

    def _answer(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        while data := _receive(server):
            if lost.is_set():
                self.num_lost += 1
                break
            client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)
        client.close()


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def proxy() -> Iterator[LossyProxy]:
    started = LossyProxy()
    yield started
    started.close()


def test_batches_whose_commit_was_not_answered_are_stored_once(postgres_url: str, proxy: LossyProxy) -> None:
    database = open_database(postgres_url.replace("127.0.0.1/", f"127.0.0.1:{proxy.port}/"))
    stores: Stores = open_stores(database)
    job = running(stores)
    for number in range(1, 21):
        if number % 2:
            batch = Batch(number=number, events=[log_event("INFO")])
        else:
            batch = points_batch(number, "loss", {number: 1.0})
        proxy.is_lossy = True
        with pytest.raises(UnavailableError):
            stores.attempts.write(job.id, token(job), batch)
        proxy.is_lossy = False
        stores.attempts.write(job.id, token(job), batch)
    assert proxy.num_lost == 20
    assert [line["line"] for line in stores.history.logs(job.id)[0]] == list(range(1, 11))
    assert stores.history.series(job.id)[0].points == 10
    assert stores.jobs.get(job.id).batch == 20
    database.close()
