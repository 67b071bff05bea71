"""A process that imports the trainers' libraries once and forks a warm child for every job.

Run as `python -m heimdall.worker.forkserver FD [MODULE …]`; FD is a socket that carries JSON lines both ways.
It imports and forks, nothing else: a child of a process that has used torch, polars or obstore once hangs for ever.
With `--once` it takes one request and becomes that job itself (platforms on which forking is not safe).
"""

import faulthandler
import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from heimdall.worker.job_streams import flush_streams, redirect

LINE_END = b"\n"


def main() -> None:
    arguments = sys.argv[1:]
    is_once = "--once" in arguments
    descriptor, *preload = [argument for argument in arguments if argument != "--once"]
    link = socket.socket(fileno=int(descriptor))
    if is_once:
        become_job(link, json.loads(link.makefile("rb").readline()))
    Server(link).serve(preload)


class Server:
    """Single-threaded: waits for requests and for children that end."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pending = b""
        self._children: set[int] = set()

    def serve(self, preload: list[str]) -> None:
        """Returns when the other side closes the link; children live on."""
        setproctitle("heimdall fork-server")
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that owns this one
        woken, waker = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, child_ended)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        failures = import_all(preload)
        gc.collect()
        gc.freeze()
        self._say({"ready": True, "failures": failures})
        while True:
            readable, _, _ = select.select([self._link, woken], [], [])
            if woken in readable:
                os.read(woken, 4096)
            self._reap()
            if self._link in readable and not self._receive():
                return

    def _receive(self) -> bool:
        try:
            data = self._link.recv(65536)
        except ConnectionResetError:  # the owner was killed
            return False
        *lines, self._pending = (self._pending + data).split(LINE_END)
        for line in lines:
            self._start(json.loads(line))
        return bool(data)

    def _start(self, request: dict[str, Any]) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # such as too many processes: the next one may fit
            self._say({"request": request["request"], "error": str(error)})
            return
        if pid == 0:
            become_job(self._link, request)
        self._children.add(pid)
        self._say({"request": request["request"], "pid": pid})

    def _reap(self) -> None:
        while self._children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            pid = ended.si_pid
            end_session(pid)  # before the pid is given back: it cannot be somebody else's yet
            _, status = os.waitpid(pid, 0)
            self._children.discard(pid)
            self._say({"exited": pid, "status": status})

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._link.sendall(json.dumps(message).encode() + LINE_END)
        except (BrokenPipeError, ConnectionResetError):  # the owner is gone: the next read says so
            return


def child_ended(number: int, frame: object) -> None:
    """Python's handler has nothing to do: the wake-up pipe has been written already."""


def import_all(preload: list[str]) -> dict[str, str]:
    """Import every module; what could not be imported, and why."""
    failures: dict[str, str] = {}
    for name in preload:
        try:
            import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module may raise anything
            failures[name] = f"{type(error).__name__}: {error}"
    return failures


def end_session(pid: int) -> None:
    """Kill what a job left behind in its session, such as data loader processes."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def become_job(link: socket.socket, request: dict[str, Any]) -> None:
    """In the child: cut every tie to the server, run the entry, leave. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if os.getsid(0) != os.getpid():
            os.setsid()
        link.detach()
        redirect(Path(request["output"]))
        faulthandler.enable()
        os.environ.update(request["env"])
        sys.argv = request["title"].split()
        setproctitle(request["title"])
        module, _, function = request["entry"].partition(":")
        getattr(import_module(module), function)(request["payload"])
        code = 0
    except BaseException as error:  # noqa: BLE001 - the process ends here; its owner reads the traceback in the output
        with suppress(Exception):  # standard error may be closed
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        flush_streams()
        os._exit(code)


if __name__ == "__main__":
    main()
