"""`heimdall gc`: removes what nothing needs any more, beside a running service and workers of other machines."""

from datetime import timedelta
from pathlib import Path

from heimdall.artifacts.copies import size_bytes
from heimdall.bootstrap.installation import open_artifacts
from heimdall.bootstrap.job import open_existing
from heimdall.bootstrap.slots import database_name
from heimdall.domain.ports import Stores
from heimdall.domain.removal import Removal
from heimdall.jobs.garbage import Garbage
from heimdall.settings import Settings
from heimdall.store import open_stores
from heimdall.worker.caches import adopt_older, copies_of
from heimdall.worker.files import AttemptFiles, attempt_of
from heimdall.worker.orphans import find_orphans


def collect_garbage(settings: Settings, *, age: timedelta, has_unknown: bool, is_dry_run: bool) -> list[Removal]:
    """Raises: NotFoundError (no installation), UnavailableError, ArtifactsRefusedError, OSError."""
    database = open_existing(settings)
    try:
        stores = open_stores(database)
        garbage = Garbage(stores, open_artifacts(settings), age=age, has_unknown=has_unknown)
        found = garbage.collect(is_dry_run=is_dry_run)
        return [*found, *_local(settings, stores, is_dry_run=is_dry_run)]
    finally:
        database.close()


def _local(settings: Settings, stores: Stores, *, is_dry_run: bool) -> list[Removal]:
    data_dir = settings.data_dir.resolve()
    attempts = {attempt_of(path) for path in (data_dir / "attempts").glob("*-*")}  # first: those of now are claimed
    alive = {(orphan.job_id, orphan.attempt) for orphan in find_orphans(data_dir)}
    alive |= {(pulse.job_id, pulse.attempt) for pulse in stores.jobs.pulses()}
    left = [AttemptFiles(data_dir, *attempt) for attempt in sorted(attempts - alive)]
    left = [files for files in left if files.is_for(database_name(settings))]
    sizes = {str(files.note): files.size_bytes() for files in left}
    if not is_dry_run:
        for files in left:
            files.remove()
        adopt_older(data_dir / "cache", is_idle=not alive)
    return [
        Removal.of("attempts that have ended", sizes),
        *_caches(data_dir / "cache", settings.cache_bytes, is_dry_run=is_dry_run),
    ]


def _caches(root: Path, max_bytes: int, *, is_dry_run: bool) -> list[Removal]:
    if not root.is_dir():
        return []
    copies = copies_of(root)
    half = copies.sweep(is_dry_run=is_dry_run)
    evicted = copies.evict(max_bytes, is_dry_run=is_dry_run)
    return [
        Removal.of("caches that were never finished", {str(path): size for path, size in half.items() if size}),
        Removal.of("caches above HEIMDALL_CACHE_GIB", {str(path): size for path, size in evicted.items()}),
    ]


def sizes_of(data_dir: Path) -> dict[str, int]:
    """Bytes of each part of a data folder."""
    parts = {name: size_bytes(data_dir / name) for name in ("artifacts", "cache", "attempts")}
    database = sum(size_bytes(path) for path in data_dir.glob("heimdall.db*"))
    return {"database": database, **parts}
