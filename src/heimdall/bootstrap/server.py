"""`heimdall up`: API, recovery and slots loop in one process; `heimdall serve`: the same without slots loop."""

import errno
import logging
import signal
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

import heimdall
from heimdall.api.app import create_app
from heimdall.api.services import ApiOptions, ApiServices
from heimdall.bootstrap.access import require_guarded, token_service
from heimdall.bootstrap.changes import live_signal
from heimdall.bootstrap.configuration import configure_logging, warn_of_strange_variables
from heimdall.bootstrap.folder_lock import FolderLock
from heimdall.bootstrap.installation import Installation, open_installation
from heimdall.bootstrap.readiness import ReadinessCheck
from heimdall.bootstrap.shared import require_shared
from heimdall.bootstrap.slots import open_slots
from heimdall.bootstrap.trainers import warn_of_trainers
from heimdall.domain.errors import StartRefusedError, UnavailableError
from heimdall.jobs.recovery import Recovery
from heimdall.sdk.registry import find_trainers, specs
from heimdall.settings import LOOPBACK, Settings, http_url, local_url
from heimdall.store import stored_figures
from heimdall.worker.slots import SlotsLoop

logger = logging.getLogger(__name__)

STOP_SECONDS = 15.0


class Background:
    """The threads beside the API: recovery, the sweep of deleted files and, in `up`, the slots loop."""

    def __init__(self, installation: Installation, slots: SlotsLoop | None) -> None:
        self.slots = slots
        self._recovery = Recovery(
            installation.stores,
            installation.jobs.dispatch,
            warns_of_missing_gpus=installation.settings.has_shared_database,
        )
        self._stop = threading.Event()
        self._sweep = installation.sweep
        self._threads = [
            threading.Thread(target=self._recovery.run, args=[self._stop], name="recovery", daemon=True),
            threading.Thread(target=self._sweep.run, args=[self._stop], name="sweep", daemon=True),
        ]
        if slots is not None:
            self._threads.append(threading.Thread(target=slots.run, name="slots"))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Give running jobs back, then end the threads."""
        self._stop.set()
        self._sweep.wake()
        if self.slots is not None:
            self.slots.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_SECONDS)
            if thread.is_alive():  # such as a store of files that does not answer; what it did is finished later
                logger.warning("The %s does not end in time and is left behind", thread.name)


def measures(installation: Installation) -> dict[str, float]:
    """For Prometheus, beside what the API itself counts."""
    workers = installation.stores.jobs.workers()
    return {
        **stored_figures(installation.database),
        "heimdall_workers": len(workers),
        "heimdall_slots": sum(worker.slots for worker in workers),
        "heimdall_broker_away": int(installation.wake.is_away),
        "heimdall_publish_failures_total": installation.publisher.num_failures,
    }


def assemble(installation: Installation, background: Background) -> FastAPI:
    """The API over an open installation; its lifespan runs the background threads."""
    settings = installation.settings
    changes = live_signal(settings)
    services = ApiServices(
        jobs=installation.jobs,
        datasets=installation.datasets,
        tokens=token_service(settings, installation.stores),
        history=installation.stores.history,
        attempts=installation.stores.attempts,
        artifacts=installation.artifacts,
        signal=changes,
        specs=specs,
        left_out=lambda: find_trainers().left_out,
        counts=installation.stores.jobs.counts,
        readiness=ReadinessCheck(installation, background.slots),
        measures=lambda: measures(installation),
    )
    options = ApiOptions(
        version=heimdall.__version__,
        allowed_hosts=frozenset({*LOOPBACK, "[::1]", settings.host, *settings.allowed_hosts}),
        allowed_origins=frozenset(settings.allowed_origins),
        trusted_proxies=settings.forwarded_allow_ips,
        requests_per_minute=settings.requests_per_minute,
        failed_logins_per_minute=settings.failed_logins_per_minute,
    )
    app = create_app(services, options)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncGenerator[Any]:
        background.start()
        async with inner(running) as state:
            yield state
        background.stop()
        changes.close()
        installation.close()

    app.router.lifespan_context = lifespan
    return app


def build_app(settings: Settings) -> FastAPI:
    """For a server that is not ours. The data folder is taken for the life of the process. Raises: HeimdallError."""
    if not logging.getLogger().handlers:
        configure_logging(settings, has_own_server=False)
    warn_of_strange_variables()
    warn_of_trainers()
    with ExitStack() as stack:
        stack.enter_context(FolderLock(settings.data_dir.resolve()))
        installation = open_installation(settings)
        app = assemble(installation, Background(installation, open_slots(installation)))
        stack.pop_all()
    return app


class Server(uvicorn.Server):
    """Ends live streams as soon as it is told to stop, so that watchers do not delay it."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def take_signals(self) -> None:
        """Stop also for a signal that comes before uvicorn listens for them, and overlook the one that uvicorn raises
        again when it has shut down: the process ends by returning."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop_soon)

    def _stop_soon(self, number: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.hub.stop()
        await super().shutdown(sockets)


def run_up(settings: Settings) -> int:
    """Serve until a signal. Raises: HeimdallError when the service cannot start."""
    configure_logging(settings)
    warn_of_strange_variables()
    warn_of_trainers()
    with ExitStack() as stack:
        listener = _take_folder_and_port(stack, settings)
        installation = open_installation(settings)
        _serve(stack, listener, installation, open_slots(installation))
    return 0


def _take_folder_and_port(stack: ExitStack, settings: Settings) -> socket.socket:
    """Of a folder in use its holder is named, not its port; a port that is taken leaves nothing in a new folder.

    Raises: StartRefusedError.
    """
    folder = FolderLock(settings.data_dir.resolve())
    if folder.exists:
        stack.enter_context(folder)
        listener = stack.enter_context(listen(settings))
    else:
        listener = stack.enter_context(listen(settings))
        stack.enter_context(folder)
    folder.note_address(local_url(settings.host, listener.getsockname()[1]))
    return listener


def run_serve(settings: Settings) -> int:
    """One API process of several, until a signal. Raises: HeimdallError when it cannot start."""
    require_shared(settings, "serve")
    configure_logging(settings)
    warn_of_strange_variables()
    warn_of_trainers()
    with ExitStack() as stack:
        listener = stack.enter_context(listen(settings))
        _serve(stack, listener, open_installation(settings, mode="create_only", has_slots=False), None)
    return 0


def _serve(stack: ExitStack, listener: socket.socket, installation: Installation, slots: SlotsLoop | None) -> None:
    require_guarded(installation.settings, installation.stores)
    background = Background(installation, slots)
    stack.callback(background.stop)  # also after a second Ctrl-C, which skips the lifespan's end
    app = assemble(installation, background)
    config = uvicorn.Config(
        app,
        lifespan="on",  # "auto" takes an error at the start for an application without lifespan, and serves on
        ws="websockets-sansio",
        ws_max_size=65536,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
        proxy_headers=False,
        server_header=False,
        log_config=None,
    )
    server = Server(config, app)
    server.take_signals()
    _greet(installation, *listener.getsockname()[:2])
    try:
        server.run(sockets=[listener])
    except SystemExit:  # how uvicorn says that the lifespan failed, after it has logged why
        installation.close()
        raise StartRefusedError("The service could not start; the log above says why.") from None


def _greet(installation: Installation, host: str, port: int) -> None:
    settings = installation.settings
    url = local_url(settings.host, port)
    where = "" if (settings.is_loopback and port == Settings.model_fields["port"].default) else f" --url {url}"
    with suppress(UnavailableError):
        counts = {status: number for status, number in installation.stores.jobs.counts().items() if number}
        jobs = ", ".join(f"{number} {status}" for status, number in counts.items()) or "none yet"
        address, data_dir = http_url(host, port), settings.data_dir.resolve()
        logger.info("Heimdall %s on %s, data in %s, jobs: %s", heimdall.__version__, address, data_dir, jobs)
    logger.info("The API is described at %s/docs; next, in another terminal: heimdall submit%s", url, where)


def listen(settings: Settings) -> socket.socket:
    """Raises: StartRefusedError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be looked up
        listener.close()
        number = error.errno if isinstance(error, OSError) else None
        flag = "--port" if number in {errno.EADDRINUSE, errno.EACCES} else "--host"
        reason = error.strerror if isinstance(error, OSError) else "no host name"
        address = http_url(settings.host, settings.port).removeprefix("http://")
        raise StartRefusedError(f"Cannot listen on {address} ({reason}); choose another {flag}.") from None
    return listener
