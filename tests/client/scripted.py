"""A real HTTP server on a free port that answers as a test says, and can break a connection in the middle."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override


class Request:
    """What a client asked, and the ways to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self._handler = handler
        parts = urlsplit(handler.path)
        self.method = handler.command
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.headers = handler.headers
        self.body: Any = json.loads(body) if body else None

    def answer(
        self, status: int, body: bytes, content_type: str = "application/json", *, claimed_length: int | None = None
    ) -> None:
        """`claimed_length` longer than the body: the connection ends before the client has all of it."""
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", content_type)
        self._handler.send_header("Content-Length", str(len(body) if claimed_length is None else claimed_length))
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def redirect(self, target: str) -> None:
        self._handler.send_response(302)
        self._handler.send_header("Location", target)
        self._handler.send_header("Content-Length", "0")
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def answer_json(self, value: object, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode())

    def answer_problem(self, status: int, **problem: Any) -> None:
        self.answer(status, json.dumps({"status": status, **problem}).encode(), "application/problem+json")

    def answer_events(self, *events: Mapping[str, Any], torn: bytes = b"") -> None:
        """An event stream that ends after `events` and the start of a message that never became whole."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/event-stream")
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()
        self._handler.wfile.write(b"retry: 3000\n\n: ping\n\n")
        for event in events:
            self._handler.wfile.write(f"id: {event.get('seq', '')}\ndata: {json.dumps(event)}\n\n".encode())
        self._handler.wfile.write(torn)


class ScriptedServer:
    def __init__(self, answer: Callable[[Request], None]) -> None:
        self.requests: list[Request] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self, body)
                requests.append(request)
                answer(request)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 (names that http.server looks up)

            @override
            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
