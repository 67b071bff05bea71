"""The app behind a real uvicorn, for what a test client cannot show: sockets, streams, refused bodies."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from typing_extensions import override


class Server(uvicorn.Server):
    """Ends live streams as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.hub.stop()
        await super().shutdown(sockets)


@contextmanager
def serve(app: FastAPI, *, root_path: str = "") -> Generator[int]:
    """The port it listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            ws="websockets-sansio",
            ws_max_size=65536,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
            proxy_headers=False,
            log_config=None,
            root_path=root_path,
        )
        server = Server(config, app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
