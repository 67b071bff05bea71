"""`heimdall doctor`: looks at this machine and installation and says what is well and what is not."""

import os
import platform
import queue
import shlex
import shutil
import sys
import threading
from collections.abc import Callable
from importlib import metadata
from typing import Any

import psutil

from heimdall.bootstrap.changes import describe_broker
from heimdall.bootstrap.configuration import strange_variables
from heimdall.bootstrap.data_folder import open_to_others, require_whole
from heimdall.bootstrap.garbage import sizes_of
from heimdall.bootstrap.installation import open_artifacts
from heimdall.bootstrap.trainers import describe_trainers
from heimdall.domain.errors import HeimdallError, InvalidInputError, UnavailableError
from heimdall.settings import Settings, masked_url
from heimdall.store import open_database, parse_url, prepare, sqlite_file

ANSWER_SECONDS = 10.0
MIN_FREE_BYTES = 2 << 30


def examine(settings: Settings) -> list[dict[str, Any]]:
    checks: dict[str, Callable[[Settings], str]] = {
        "python": _python,
        "platform": _platform,
        "settings": _settings,
        "data folder": _data_folder,
        "privacy": _privacy,
        "database": _database,
        "artifact store": _artifact_store,
        "message broker": describe_broker,
        "libraries": _libraries,
        "trainers": lambda _: describe_trainers(),
    }
    return [_result(name, check, settings) for name, check in checks.items()]


def _result(name: str, check: Callable[[Settings], str], settings: Settings) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": masked_url(check(settings))}
    except (HeimdallError, OSError, metadata.PackageNotFoundError) as error:
        return {"check": name, "ok": False, "detail": masked_url(str(error))}


def _python(_: Settings) -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _platform(_: Settings) -> str:
    if sys.platform == "linux":
        return f"Linux, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB of memory"
    raise OSError(f"{sys.platform} is not tested; Linux is (on Windows: WSL).")


def _settings(_: Settings) -> str:
    if found := strange_variables():
        raise InvalidInputError(" ".join(found))
    return "every HEIMDALL_… variable is one"


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to.")
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise OSError(f"{folder} has only {free >> 20} MiB free; a job needs room for three of its checkpoints.")
    sizes = ", ".join(f"{part} {size >> 20} MiB" for part, size in sizes_of(folder).items())
    return f"{folder} on {kind}: {sizes}; {free >> 30} GiB free"


def _privacy(settings: Settings) -> str:
    if found := open_to_others(settings):
        names = " ".join(shlex.quote(str(place)) for place in found)
        raise PermissionError(f"Other users of this machine can read data of the service; close it: chmod go= {names}")
    return "the data folder is closed to other users"


def _database(settings: Settings) -> str:
    """What the start of a service would refuse is refused here too, in the same words; nothing is made."""
    require_whole(settings)
    place = parse_url(settings.resolved_database_url)
    if place.get_backend_name() == "sqlite" and not sqlite_file(place).exists():
        return f"none yet; the first start makes {sqlite_file(place)}"
    prepare(settings.resolved_database_url, mode="check")
    database = open_database(settings.resolved_database_url)
    try:
        return database.describe()
    finally:
        database.close()


def _artifact_store(settings: Settings) -> str:
    """Asks for a list: of a key alone, a missing bucket says the same as a missing file."""
    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            open_artifacts(settings).keys("doctor")
        except (HeimdallError, OSError, ValueError) as error:
            answers.put(error)
        else:
            answers.put(None)

    url = masked_url(settings.resolved_artifacts_url)
    # In a thread, because it tries again for long what does not answer.
    threading.Thread(target=ask, name="artifact store", daemon=True).start()
    try:
        refusal = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"{url} does not answer within {ANSWER_SECONDS:.0f} seconds.") from None
    if isinstance(refusal, UnavailableError):
        raise UnavailableError(f"{refusal} Check the bucket in HEIMDALL_ARTIFACTS_URL, and whether the store answers.")
    if refusal is not None:
        raise refusal
    if settings.has_shared_database and not settings.artifacts_url:
        return f"{url}, for `heimdall up`; `serve` and `worker` need HEIMDALL_ARTIFACTS_URL"
    return url


def _libraries(_: Settings) -> str:
    names = ("torch", "lightning-fabric", "transformers", "sqlalchemy", "fastapi", "uvicorn", "obstore")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)
