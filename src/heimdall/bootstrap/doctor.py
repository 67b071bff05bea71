"""`heimdall doctor`: looks at this machine and installation and says what is well and what is not."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import psutil

from heimdall.bootstrap.changes import describe_broker
from heimdall.domain.errors import HeimdallError
from heimdall.sdk.registry import specs
from heimdall.settings import Settings
from heimdall.store import open_database

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smbfs", "smb3"})
MIN_FREE_BYTES = 2 << 30


def examine(settings: Settings) -> list[dict[str, Any]]:
    checks: dict[str, Callable[[Settings], str]] = {
        "python": _python,
        "platform": _platform,
        "data folder": _data_folder,
        "database": _database,
        "message broker": describe_broker,
        "libraries": _libraries,
        "trainers": lambda _: ", ".join(specs()),
    }
    return [_result(name, check, settings) for name, check in checks.items()]


def _result(name: str, check: Callable[[Settings], str], settings: Settings) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": check(settings)}
    except (HeimdallError, OSError, metadata.PackageNotFoundError) as error:
        return {"check": name, "ok": False, "detail": str(error)}


def _python(_: Settings) -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _platform(_: Settings) -> str:
    if sys.platform == "linux":
        return f"Linux, {os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB of memory"
    raise OSError(f"{sys.platform} is not tested; Linux is (on Windows: WSL).")


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written to.")
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    if kind in NETWORK_FILE_SYSTEMS:
        raise OSError(f"{folder} lies on {kind}; SQLite needs a local disk.")
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise OSError(f"{folder} has only {free >> 20} MiB free; a job needs room for three of its checkpoints.")
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} on {kind}, {used >> 20} MiB used, {free >> 30} GiB free"


def _database(settings: Settings) -> str:
    database = open_database(settings.resolved_database_url)
    try:
        return database.describe()
    finally:
        database.close()


def _libraries(_: Settings) -> str:
    names = ("torch", "lightning-fabric", "transformers", "sqlalchemy", "fastapi", "uvicorn", "obstore")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)
