"""A TCP line to a server that can be cut, stalled and mended."""

import socket
import threading
from contextlib import suppress


class CutLine:
    """Listens on a port of its own and forwards to `target`.

    While cut, connections end and new ones are refused; while stalled, they stand and nothing comes through; while
    answering, each new connection gets that answer instead of the server's.
    """

    def __init__(self, target: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        self._target = target
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._open: set[socket.socket] = set()
        self._answer = b""
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = (host, self.port)
        self.num_answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        self._end_all()

    def _end_all(self) -> None:
        for end in list(self._open):
            _close(end)

    def stall(self) -> None:
        self._flows.clear()

    def answer(self, answer: bytes) -> None:
        self._answer = answer
        self._end_all()

    def mend(self) -> None:
        self._is_cut = False
        self._answer = b""
        self._flows.set()

    def close(self) -> None:
        self.cut()
        self._flows.set()
        _close(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                _close(client)
                continue
            if self._answer:
                threading.Thread(target=self._reply, args=[client], daemon=True).start()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _close(client)
                continue
            self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _reply(self, client: socket.socket) -> None:
        with suppress(OSError):
            client.recv(65536)
            client.sendall(self._answer)
        self.num_answers += 1
        _close(client)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            _close(end)
            self._open.discard(end)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
