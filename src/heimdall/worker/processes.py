"""Job processes as the slots loop sees them: start one, hear of its end, end it.

`ForkServer` forks them from a warm server (Linux); `SpawnServer` starts each afresh, where forking is not safe.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from heimdall.domain.errors import UnavailableError
from heimdall.worker.forkserver import LINE_END, end_session
from heimdall.worker.process_table import collect, describe_code, has_status, send_signal, start_time, wait_until_gone

logger = logging.getLogger(__name__)

# Set before the interpreter starts: results must not depend on hash seeds, and waiting OpenMP threads must not spin.
# The log of torch's C++ parts shows errors only: its warnings advise against settings that exactness needs.
JOB_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",  # what a trainer opens without naming an encoding, whatever the locale is
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
        return not self.has_ended and has_status(self.pid, psutil.STATUS_STOPPED)

    def watch(self) -> None:
        """Notice the end of a process that is not a child of ours."""
        threading.Thread(target=self._wait_for_stranger, name=f"watch-{self.pid}", daemon=True).start()

    def _wait_for_stranger(self) -> None:
        while True:
            try:
                wait_until_gone(self.pid)
                break
            except OSError as error:
                logger.warning("Process %d cannot be watched now (%s); trying again in a second", self.pid, error)
                time.sleep(1.0)
        status = collect(self.pid)
        end_session(self.pid)
        self.end(status)


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

    @property
    def pids(self) -> Collection[int]:
        """Children whose end it collects itself."""
        ...

    def check(self) -> None:
        """End the server when it hangs, so that `start` can replace it; running jobs live on."""
        ...

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        """Raises: ForkServerError."""
        ...

    def close(self) -> None:
        """End the server, within seconds also when it hangs; jobs live on."""
        ...


class ForkServer:
    """The owner's side of `heimdall.worker.forkserver`. `withheld`: variables of ours that no job gets."""

    def __init__(
        self,
        preload: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        withheld: Collection[str] = (),
        on_change: Callable[[], None] = lambda: None,
        answer_seconds: float = 30.0,
        hung_seconds: float = 5.0,
    ) -> None:
        self._preload = list(preload)
        self._env = dict(env or {})
        self._withheld = withheld
        self.on_change = on_change  # called when it is warm, and when it died
        self._answer_seconds = answer_seconds
        self._hung_seconds = hung_seconds
        self._lock = threading.Lock()
        self._answered = threading.Condition()
        self._answers: dict[int, int | str] = {}  # request → pid, or why there is none
        self._early: dict[int, int] = {}  # pid → status of a child that ended before its handle was made
        self._children: dict[int, JobProcess] = {}
        self._uncollected: dict[int, float] = {}  # pid → since when the server leaves it a zombie
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

    @property
    def pids(self) -> Collection[int]:
        return [self._server.pid] if self._server else []

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, "-m", "heimdall.worker.forkserver", str(theirs.fileno()), *self._preload],
                    env={**_environment(self._withheld), **self._env},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        self._server, self._link = server, ours
        threading.Thread(target=self._listen, args=(ours, server), name="fork-server", daemon=True).start()

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        with self._lock:
            server = self._server
            if not self.is_warm or self._link is None or server is None:
                raise ForkServerError("The fork server is not ready yet.")
            self._num_requests += 1
            number = self._num_requests
            try:
                self._link.sendall(request.as_line(number))
            except OSError as error:
                raise ForkServerError(f"The fork server has ended: {error}.") from error
        with self._answered:
            self._answered.wait_for(lambda: number in self._answers or not self.is_warm, self._answer_seconds)
            pid = self._answers.pop(number, None)
            if pid is None:
                server.kill()  # it hangs, or has ended; a job that it started too late would find its lease gone
                raise ForkServerError("The fork server did not answer.")
            if isinstance(pid, str):
                raise ForkServerError(f"This machine cannot start another process: {pid}.")
            process = JobProcess(pid, on_exit)
            self._children[pid] = process
            early = self._early.pop(pid, None)
        if early is not None:
            self._forget(pid).end(early)
        return process

    def check(self) -> None:
        now = time.monotonic()
        with self._answered:
            children = list(self._children)
        zombies = [pid for pid in children if has_status(pid, psutil.STATUS_ZOMBIE)]
        self._uncollected = {pid: self._uncollected.get(pid, now) for pid in zombies}
        if self._server is not None and any(now - at >= self._hung_seconds for at in self._uncollected.values()):
            logger.error("The fork server does not notice that jobs have ended, and is replaced")
            self._server.kill()

    def close(self) -> None:
        self._is_closed = True
        if self._link is not None and self._server is not None:
            if not self.is_warm:  # still importing: it has no jobs and would not hear for seconds
                self._server.kill()
            with suppress(OSError):  # the server has died, and its link was closed since
                self._link.shutdown(socket.SHUT_RDWR)
            end_soon(self._server, self._hung_seconds)

    def _listen(self, link: socket.socket, server: "subprocess.Popen[bytes]") -> None:
        try:
            with link, link.makefile("rb") as lines:
                for line in lines:
                    self._hear(json.loads(line))
        except Exception as error:  # whatever happened, jobs must be watched and the server replaced
            is_known = isinstance(error, (ConnectionResetError, ValueError))
            logger.warning("The link to the fork server broke: %s", error, exc_info=not is_known)
        self._server_ended(end_soon(server, self._hung_seconds))

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
                self._answers[message["request"]] = message.get("pid") or message["error"]
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
            self._answers.clear()
            self._uncollected.clear()
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

    def __init__(self, *, env: Mapping[str, str] | None = None, withheld: Collection[str] = ()) -> None:
        self._env = dict(env or {})
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._withheld = withheld
        self.failures: dict[str, str] = {}

    @property
    def pids(self) -> Collection[int]:
        return list(self._children)

    def start(self) -> None:
        pass

    def spawn(self, request: JobRequest, on_exit: Callable[[], None]) -> JobProcess:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "heimdall.worker.forkserver", "--once", str(theirs.fileno())],
                env={**_environment(self._withheld), **self._env},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            ours.sendall(request.as_line(1))
        process = JobProcess(child.pid, on_exit)
        self._children[child.pid] = child
        threading.Thread(target=self._wait, args=(child, process), name=f"wait-{child.pid}", daemon=True).start()
        return process

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _wait(self, child: "subprocess.Popen[bytes]", process: JobProcess) -> None:
        code = child.wait()
        end_session(child.pid)
        del self._children[child.pid]
        process.end(-code if code < 0 else code << 8)


def _environment(withheld: Collection[str]) -> dict[str, str]:
    """This process's, without the variables that a job must not find, not even in `/proc/self/environ`."""
    return {name: value for name, value in os.environ.items() if name not in withheld} | JOB_ENVIRONMENT


def end_soon(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    """Wait for a process that was told to end, and kill it when it does not. Its `returncode`."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
