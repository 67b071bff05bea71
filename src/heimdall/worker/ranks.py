"""The further processes of a job that trains on several devices, as its first process sees them."""

import faulthandler
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import psutil
from pydantic import TypeAdapter

from heimdall.domain.errors import InvalidConfigError
from heimdall.domain.job import Reason
from heimdall.sdk.context import DatasetFolder
from heimdall.worker.process_table import describe_code
from heimdall.worker.verdict import STOPPED_FROM_OUTSIDE

if TYPE_CHECKING:
    from heimdall.worker.rank_link import RankLink

logger = logging.getLogger(__name__)

LINK = "heimdall.worker.rank_link"  # loads torch, so only when there are ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What rank 0 tells the others, as JSON."""

    run: str  # the trainer, `module:function`
    job_id: str
    attempt: int
    config: Mapping[str, Any]
    threads: int
    model_architecture: str | None
    dataset: DatasetFolder | None
    cache_dir: Path

    def as_text(self) -> bytes:
        return ORDERS.dump_json(self)

    @classmethod
    def from_text(cls, text: bytes) -> "Orders":
        return ORDERS.validate_json(text)


ORDERS = TypeAdapter(Orders)


@dataclass(frozen=True, slots=True)
class Death:
    """`reason` and `message` when the rank itself said why; else `code` tells, as a `Popen.returncode`."""

    rank: int
    code: int
    reason: Reason | None = None
    message: str = ""

    def __str__(self) -> str:
        return f"Process {self.rank} of this job's devices ended: {self.message or describe_code(self.code)}"


class Ranks:
    """Starts them, watches them and ends them. `on_death` is called once, in a thread, for the first that dies."""

    def __init__(self, on_death: Callable[[Death], None]) -> None:
        self._on_death = on_death
        self._lock = threading.Lock()
        self._is_closing = False
        self._has_died = threading.Event()
        self._link: RankLink | None = None
        self._store: object = None  # lives as long as this
        self._processes: list[subprocess.Popen[bytes]] = []

    def join(self, devices: int, orders: Callable[[], Orders]) -> int:
        """See `TrainingContext.join_ranks`. Call it in the main thread: the ranks die with the one that started them.

        Raises: InvalidConfigError, when torchrun started another number of processes.
        """
        if is_torchrun():
            num_nodes = nodes_of_torchrun(devices)
            if devices * num_nodes > 1:
                self._connect().give(orders().as_text())
            return num_nodes
        if devices > 1:
            self._store, port = import_module(LINK).host()
            os.environ.update(environment(0, devices, port))
            self._connect().give(orders().as_text())
            for rank in range(1, devices):
                self._start(rank, {**os.environ, **environment(rank, devices, port)})
        return 1

    def _connect(self) -> "RankLink":
        link: RankLink = import_module(LINK).connect()
        self._link = link
        return link

    def _start(self, rank: int, env: Mapping[str, str]) -> None:
        told = {name: value for name, value in env.items() if not name.startswith("HEIMDALL_")}  # no addresses
        command = [sys.executable, "-m", "heimdall.worker.rank", str(os.getpid())]
        process = subprocess.Popen(command, env=told, stdin=subprocess.DEVNULL)
        self._processes.append(process)
        threading.Thread(target=self._watch, args=(rank, process), name=f"rank-{rank}", daemon=True).start()

    def _watch(self, rank: int, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        with self._lock:
            if self._is_closing or self._has_died.is_set():
                return
            end = self._noted_end(rank)
            if end is not None and end["reason"] is None:
                return
            self._has_died.set()
        death = Death(rank, code) if end is None else Death(rank, code, Reason(end["reason"]), end["message"])
        try:
            self._on_death(death)
        except Exception:  # the main thread waits for the dead, so this process would never end
            logger.exception("%s; that could not be recorded", death)
            die_like(code or 1)

    def _noted_end(self, rank: int) -> dict[str, Any] | None:
        """What the rank itself said, while the link to the notes holds."""
        try:
            return self._link.noted_end(rank) if self._link is not None else None
        except (RuntimeError, ValueError) as error:  # torch's own errors are RuntimeErrors
            logger.warning("What rank %d noted at its end cannot be read: %s", rank, error)
            return None

    def wait_for_failure(self, seconds: float) -> dict[str, Any] | None:
        """Why the link to another rank broke: what a rank of another machine said, if it said so within `seconds`.

        Does not come back when a rank of this machine has died: `on_death` ends this process.
        """
        deadline = time.monotonic() + seconds
        while self._link is not None and time.monotonic() < deadline:
            if self._has_died.wait(0.05):
                threading.Event().wait()
            if not self._processes and (failure := self._link.noted_failure()):
                return failure
        return None

    def close(self) -> None:
        """End them; nothing that happens to them counts any more."""
        with self._lock:
            self._is_closing = True
        if self._link is not None:
            with suppress(RuntimeError):  # the notes are gone: the ranks are ended all the same
                self._link.leave()
        for process in self._processes:
            process.kill()


def is_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_follower() -> bool:
    """Whether torchrun started this process as one of the others."""
    return is_torchrun() and os.environ["RANK"] != "0"


def nodes_of_torchrun(devices: int) -> int:
    a_machine = int(os.environ["LOCAL_WORLD_SIZE"])
    if a_machine != devices:
        raise InvalidConfigError(
            f"devices: torchrun starts {a_machine} process(es) on each machine and the job's config says {devices}; "
            f"start torchrun with --nproc-per-node {devices}."
        )
    return int(os.environ["WORLD_SIZE"]) // a_machine


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torch.distributed and Fabric read. The store is there already, as under torchrun."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }


def end_descendants() -> None:
    """Kill every process that this one started, directly or not."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def die_loudly(death: Death) -> NoReturn:
    """End this process, which somebody started by hand, with the reason."""
    print(f"heimdall: {death}", file=sys.stderr)  # noqa: T201 - the main thread may wait for the dead for ever
    os._exit(1)


def die_like(code: int) -> NoReturn:
    """End this process as another one ended, so that whoever watches it judges that."""
    if code < 0:
        faulthandler.disable()  # its trace would show this process, which did nothing wrong
        os.kill(os.getpid(), signal.SIGKILL if -code in STOPPED_FROM_OUTSIDE else -code)
        time.sleep(1.0)  # for a signal that does not end this process
        code = 1
    os._exit(code)
