"""The slots loop of this machine: its fork server, its devices, and what its jobs are told."""

import hashlib
import socket
import sys
from pathlib import Path

from sqlalchemy import make_url

from heimdall.bootstrap.installation import Installation
from heimdall.domain.attempt import WorkerInfo
from heimdall.sdk.registry import specs
from heimdall.settings import Settings, variables_of_settings
from heimdall.worker import gpus
from heimdall.worker.host import this_host
from heimdall.worker.processes import ForkServer, ProcessServer, SpawnServer
from heimdall.worker.slots import SlotsLoop

ENTRY = "heimdall.bootstrap.job:run_claimed"
PRELOAD = ("heimdall.bootstrap.job", "heimdall.worker.run")
BROKER_PRELOAD = ("heimdall.wake.exchange",)


def open_slots(installation: Installation) -> SlotsLoop:
    settings = installation.settings
    server = _process_server(has_broker=settings.broker_url is not None)
    devices = gpus.names() if settings.gpus is None else settings.gpus
    slots = SlotsLoop(
        stores=installation.stores,
        wake=installation.wake,
        worker=WorkerInfo(
            name=_name(settings.data_dir.resolve()), host=this_host(), slots=settings.slots, devices=devices
        ),
        fork_server=server,
        entry=ENTRY,
        data_dir=settings.data_dir.resolve(),
        dispatch=installation.jobs.dispatch,
        job_env=job_environment(settings),
        is_only_worker=not settings.has_shared_database,
        database=database_name(settings),
        cache_bytes=settings.cache_bytes,
    )
    if isinstance(server, ForkServer):
        server.on_change = slots.ring
    return slots


def _name(data_dir: Path) -> str:
    """One slots loop has a data folder, so its folder names it, also after a restart on another port."""
    return f"{socket.gethostname()}-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:6]}"


def database_name(settings: Settings) -> str:
    """Without user and password, which may change. That of the data folder has none: the folder may be moved."""
    if settings.database_url is None:
        return ""
    url = make_url(settings.resolved_database_url)
    return f"{url.get_backend_name()}://{url.host or ''}:{url.port or ''}/{url.database or ''}"


def _process_server(*, has_broker: bool) -> ProcessServer:
    withheld = variables_of_settings()  # tokens and passwords; a trainer could read them in its own process
    if sys.platform != "linux":
        return SpawnServer(withheld=withheld)
    modules = dict.fromkeys(name for spec in specs().values() for name in spec.preload)
    return ForkServer([*modules, *PRELOAD, *(BROKER_PRELOAD if has_broker else ())], withheld=withheld)


def job_environment(settings: Settings) -> dict[str, str]:
    """Addresses go to a job in its environment: an argument shows in every process list."""
    given = {
        "HEIMDALL_DATA_DIR": str(settings.data_dir.resolve()),
        "HEIMDALL_DATABASE_URL": settings.resolved_database_url,
        "HEIMDALL_ARTIFACTS_URL": settings.resolved_artifacts_url,
        "HEIMDALL_CACHE_GIB": str(settings.cache_gib),
    }
    if settings.broker_url is not None:
        given["HEIMDALL_BROKER_URL"] = settings.broker_url.get_secret_value()
    return given
