"""Job processes as the slots loop sees them: start one, hear of its end, end it.

`ForkServer` forks them from a warm server (Linux); `SpawnServer` starts each afresh, where forking is not safe.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from heimdall.domain.errors import UnavailableError
from heimdall.worker.forkserver import LINE_END, end_session

logger = logging.getLogger(__name__)

# Set before the interpreter starts: results must not depend on hash seeds, and waiting OpenMP threads must not spin.
# The log of torch's C++ parts shows errors only: its warnings advise against settings that exactness needs.
JOB_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "MKL_DYNAMIC": "FALSE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


class ForkServerError(UnavailableError):
    """No job process can be started at the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a new job process is told. `env` and `payload` never show in a process list."""

    entry: str  # `module:function`, called with the payload
    payload: Mapping[str, Any]
    title: str
    output: Path
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def as_line(self, request: int) -> bytes:
        message = {
            "request": request,
            "entry": self.entry,
            "payload": dict(self.payload),
            "title": self.title,
            "output": str(self.output),
            "env": dict(self.env),
        }
        return json.dumps(message).encode() + LINE_END


class JobProcess:
    """One process of a job. `status` is the raw wait status, None when nobody could collect it."""

    def __init__(self, pid: int, on_exit: Callable[[], None], *, started: float | None = None) -> None:
        self.pid = pid
        self.started = started if started is not None else start_time(pid)
        self.status: int | None = None
        self._on_exit = on_exit
        self._ended = threading.Event()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended within `timeout` seconds."""
        return self._ended.wait(timeout)

    def end(self, status: int | None) -> None:
        self.status = status
        self._ended.set()
        self._on_exit()

    def terminate(self) -> None:
        """Ask the job itself to stop; its loader processes are its own affair."""
        if not self.has_ended:
            send_signal(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the job and everything in its session."""
        if not self.has_ended:
            end_session(self.pid)
            send_signal(self.pid, signal.SIGKILL)

    def is_stopped(self) -> bool:
        """Whether a signal has halted it (a debugger's hold is another state)."""
        try:
            return not self.has_ended and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def watch(self) -> None:
        """Notice the end of a process that is not a child of ours."""
        threading.Thread(target=self._wait_for_stranger, name=f"watch-{self.pid}", daemon=True).start()

    def _wait_for_stranger(self) -> None:
        wait_until_gone(self.pid)
        end_session(self.pid)
        self.end(None)


class ProcessServer(Protocol):
    """What the slots loop asks of either kind of server."""

    @property
    def is_warm(self) -> bool: ...

    @property
    def failures(self) -> Mapping[str, str]: ...

    def start(self) -> None:
        """Start it, or start it again after it died. Returns at once; `is_warm` says when it can be used."""
        ...

    @property
    def is_alive(self) -> bool: ...

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        """Raises: ForkServerError."""
        ...

    def close(self) -> None:
        """End the server; jobs live on."""
        ...


class ForkServer:
    """The owner's side of `heimdall.worker.forkserver`."""

    def __init__(
        self,
        preload: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        on_change: Callable[[], None] = lambda: None,
        answer_seconds: float = 30.0,
    ) -> None:
        self._preload = list(preload)
        self._env = dict(env or {})
        self.on_change = on_change  # called when it is warm, and when it died
        self._answer_seconds = answer_seconds
        self._lock = threading.Lock()
        self._answered = threading.Condition()
        self._pids: dict[int, int] = {}  # request → pid
        self._early: dict[int, int] = {}  # pid → status of a child that ended before its handle was made
        self._children: dict[int, JobProcess] = {}
        self._num_requests = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._is_closed = False
        self.is_warm = False
        self.failures: dict[str, str] = {}

    @property
    def is_alive(self) -> bool:
        return self._server is not None and self._server.poll() is None

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "heimdall.worker.forkserver", str(theirs.fileno()), *self._preload],
                env={**os.environ, **JOB_ENVIRONMENT, **self._env},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._link = ours
        threading.Thread(target=self._listen, args=(ours, self._server), name="fork-server", daemon=True).start()

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        with self._lock:
            if not self.is_warm or self._link is None:
                raise ForkServerError("The fork server is not ready yet.")
            self._num_requests += 1
            number = self._num_requests
            try:
                self._link.sendall(request.as_line(number))
            except OSError as error:
                raise ForkServerError(f"The fork server has ended: {error}.") from error
        with self._answered:
            self._answered.wait_for(lambda: number in self._pids or not self.is_warm, self._answer_seconds)
            pid = self._pids.pop(number, None)
            if pid is None:
                raise ForkServerError("The fork server did not answer.")
            process = JobProcess(pid, on_exit)
            self._children[pid] = process
            early = self._early.pop(pid, None)
        if early is not None:
            self._forget(pid).end(early)
        return process

    def close(self) -> None:
        self._is_closed = True
        if self._link is not None and self._server is not None:
            if not self.is_warm:  # still importing: it has no jobs and would not hear for seconds
                self._server.kill()
            self._link.shutdown(socket.SHUT_RDWR)
            self._server.wait()

    def _listen(self, link: socket.socket, server: "subprocess.Popen[bytes]") -> None:
        with link, link.makefile("rb") as lines:
            try:
                for line in lines:
                    self._hear(json.loads(line))
            except (ConnectionResetError, ValueError) as error:
                logger.warning("The link to the fork server broke: %s", error)
        server.wait()
        self._server_ended(server.returncode)

    def _hear(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.failures = message["failures"]
            for name, failure in self.failures.items():
                logger.error("The fork server cannot import %s: %s", name, failure)
            self.is_warm = True
            self.on_change()
        elif "exited" in message:
            with self._answered:
                if message["exited"] not in self._children:
                    self._early[message["exited"]] = message["status"]
                    return
            self._forget(message["exited"]).end(message["status"])
        else:
            with self._answered:
                self._pids[message["request"]] = message["pid"]
                self._answered.notify_all()

    def _forget(self, pid: int) -> JobProcess:
        with self._answered:
            return self._children.pop(pid)

    def _server_ended(self, code: int) -> None:
        with self._answered:
            self.is_warm = False
            orphans = list(self._children.values())
            self._children.clear()
            self._early.clear()
            self._answered.notify_all()
        if not self._is_closed:
            logger.error("The fork server ended (%s) and is started again; running jobs go on", describe_code(code))
        for process in orphans:
            process.watch()
        self.on_change()


class SpawnServer:
    """Starts every job in a fresh interpreter: slower, and safe where a fork is not."""

    is_warm = True
    is_alive = True

    def __init__(self, *, env: Mapping[str, str] | None = None) -> None:
        self._env = dict(env or {})
        self.failures: dict[str, str] = {}

    def start(self) -> None:
        pass

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "heimdall.worker.forkserver", "--once", str(theirs.fileno())],
                env={**os.environ, **JOB_ENVIRONMENT, **self._env},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            ours.sendall(request.as_line(1))
        process = JobProcess(child.pid, on_exit)
        threading.Thread(target=_wait_for_child, args=(child, process), name=f"wait-{child.pid}", daemon=True).start()
        return process

    def close(self) -> None:
        pass


def _wait_for_child(child: "subprocess.Popen[bytes]", process: JobProcess) -> None:
    code = child.wait()
    end_session(child.pid)
    process.end(-code if code < 0 else code << 8)


def start_time(pid: int) -> float:
    """When the process started, in seconds since the epoch; now when it is gone already."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def is_same_process(pid: int, started: float, title: str) -> bool:
    """Whether `pid` is still the process that was recorded, not a later one with its number.

    The title settles it when the machine's clock was set since (start times are then off).
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - started) < 1.0 or title in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def wait_until_gone(pid: int) -> None:
    """Block until the process has ended, whoever its parent is."""
    if not hasattr(os, "pidfd_open"):
        try:
            psutil.Process(pid).wait()
        except psutil.NoSuchProcess:
            return
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def describe_code(code: int) -> str:
    """A `Popen.returncode` in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
