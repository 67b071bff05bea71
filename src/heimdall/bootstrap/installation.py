"""The parts every server process needs, opened from settings."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError

from heimdall.artifacts import LocalArtifacts, RemoteArtifacts, open_object_store
from heimdall.bootstrap.changes import open_publisher, open_wake
from heimdall.bootstrap.data_folder import open_data_folder, require_whole
from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.errors import StartRefusedError
from heimdall.domain.ports import Stores
from heimdall.domain.signals import Publisher, Wake
from heimdall.jobs.datasets import DatasetService
from heimdall.jobs.deletions import Sweep
from heimdall.jobs.service import JobService
from heimdall.settings import Settings, masked_url
from heimdall.store import Database, open_database, open_stores, prepare

LAST_EVENTS_SECONDS = 2.0
ARTIFACTS_FORMS = "file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


@dataclass(frozen=True, slots=True)
class Installation:
    settings: Settings
    database: Database
    stores: Stores
    wake: Wake
    publisher: Publisher
    artifacts: ArtifactStore
    jobs: JobService
    datasets: DatasetService
    sweep: Sweep

    def close(self) -> None:
        self.wake.close()
        self.publisher.close(LAST_EVENTS_SECONDS)
        self.database.close()


def open_artifacts(settings: Settings) -> ArtifactStore:
    """Nothing is asked of an object store yet. Raises: StartRefusedError (not one of the known forms)."""
    url = settings.resolved_artifacts_url
    cache = settings.data_dir.resolve() / "cache"
    if url.startswith("file:"):
        return LocalArtifacts(_folder(url), cache=cache)
    if url.startswith("/"):
        raise _artifacts_refused(url, f"a folder is written {Path(url).as_uri()}")
    try:
        return RemoteArtifacts(open_object_store(url), cache=cache, cache_bytes=settings.cache_bytes)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise _artifacts_refused(url, reason) from None


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise _artifacts_refused(url, "a folder is named from the root on, after three slashes")
    return Path(unquote(parts.path))


def _artifacts_refused(url: str, reason: str) -> StartRefusedError:
    told = masked_url(reason.replace(url, masked_url(url)))
    return StartRefusedError(
        f"The artifact store {masked_url(url)} cannot be opened ({told}); set HEIMDALL_ARTIFACTS_URL to "
        f"{ARTIFACTS_FORMS}."
    )


def open_installation(
    settings: Settings, *, mode: Literal["upgrade", "create_only"] = "upgrade", has_slots: bool = True
) -> Installation:
    """Open everything; with mode `upgrade` an older database is brought up to date first.

    Raises:
        HeimdallError: an older database (`create_only`), a newer one, a folder SQLite cannot use, a database that
            does not answer, an artifact store that is none. A broker that does not answer is waited for.
    """
    open_data_folder(settings.data_dir.resolve())
    require_whole(settings)
    prepare(settings.resolved_database_url, mode=mode)
    artifacts = open_artifacts(settings)  # may refuse, so before anything has a thread
    publisher = open_publisher(settings)
    database = open_database(settings.resolved_database_url, publish=publisher.publish)
    stores = open_stores(database)
    wake = open_wake(settings, has_slots=has_slots)
    days = settings.keep_events_days
    sweep = Sweep(stores, artifacts, keep_events=None if days is None else timedelta(days=days))
    jobs = JobService(stores, wake, artifacts, wake_sweep=sweep.wake)
    return Installation(
        settings=settings,
        database=database,
        stores=stores,
        wake=wake,
        publisher=publisher,
        artifacts=artifacts,
        jobs=jobs,
        datasets=DatasetService(stores, jobs, artifacts),
        sweep=sweep,
    )


def migrate_database(settings: Settings) -> str:
    open_data_folder(settings.data_dir.resolve())
    require_whole(settings)
    return prepare(settings.resolved_database_url, mode="upgrade")
