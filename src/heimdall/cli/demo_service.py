"""The service of the demo: the one that runs on its folder, or `heimdall up` as a child that ends with the demo."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn, Self

from heimdall.bootstrap.folder_lock import service_of
from heimdall.client import HeimdallClient, ServerUnreachableError
from heimdall.domain.errors import UnavailableError
from heimdall.settings import Settings, local_url

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class DemoService:
    """The running service and a client of it. `was_running`: somebody else started it and it outlives the demo.

    A child has its own session, so that Ctrl-C reaches it only through the demo; SIGTERM, SIGHUP and Ctrl-C
    all lead through `__exit__`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        address = service_of(settings.data_dir.resolve())
        self.was_running = address is not None
        self._port = free_port(settings.host, settings.port)
        token = settings.admin_token or settings.token  # the other one may be for another service
        secret = token.get_secret_value() if token else None
        self.client = HeimdallClient(address or local_url(settings.host, self._port), token=secret)

    def __enter__(self) -> Self:
        """Raises: UnavailableError when the service does not come up, with what it said."""
        if self.was_running:
            return self
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        self._log_path = self._settings.data_dir / "demo.log"
        self._log = self._log_path.open("wb")
        self._process = _start(self._settings, self._port, self._log)
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.was_running:
            self.client.close()
        else:
            self._stop()

    def wait(self) -> None:
        """Until the service ends by itself or somebody interrupts."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            print("\nStopping the service.", flush=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.client.readiness()
            except (ServerUnreachableError, UnavailableError):
                time.sleep(0.1)
            else:
                return
        said = self._log_path.read_text(errors="replace").strip().splitlines()
        raise UnavailableError("The service did not start; it said:\n" + "\n".join(said[-15:]))

    def _stop(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the service behind
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _start(settings: Settings, port: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "heimdall.cli", "up"]
    flags = ["--host", settings.host, "--port", str(port), "--data-dir", str(settings.data_dir)]
    return subprocess.Popen(
        [*command, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def free_port(host: str, wanted: int) -> int:
    """`wanted` when nobody listens there, else a port that is free."""
    for port in (wanted, 0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with closing(socket.socket(family)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError:
                continue
            address: Any = listener.getsockname()
            return int(address[1])
    raise UnavailableError(f"No port is free on {host}.")
