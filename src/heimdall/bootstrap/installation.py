"""The parts every server process needs, opened from settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from heimdall.artifacts import LocalArtifacts, RemoteArtifacts, open_object_store
from heimdall.bootstrap.changes import open_publisher, open_wake
from heimdall.domain.ports import ArtifactStore, Publisher, Stores, Wake
from heimdall.jobs.datasets import DatasetService
from heimdall.jobs.service import JobService
from heimdall.settings import Settings
from heimdall.store import Database, open_database, open_stores, prepare

LAST_EVENTS_SECONDS = 2.0


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

    def close(self) -> None:
        self.wake.close()
        self.publisher.close(LAST_EVENTS_SECONDS)
        self.database.close()


def open_artifacts(settings: Settings) -> ArtifactStore:
    url = settings.resolved_artifacts_url
    cache = settings.data_dir.resolve() / "cache"
    if url.startswith("file://"):
        return LocalArtifacts(Path(unquote(urlsplit(url).path)), cache=cache)
    return RemoteArtifacts(open_object_store(url), cache=cache)


def open_installation(
    settings: Settings, *, mode: Literal["upgrade", "create_only"] = "upgrade", has_slots: bool = True
) -> Installation:
    """Open everything; with mode `upgrade` an older database is brought up to date first.

    Raises:
        HeimdallError: an older database (`create_only`), a newer one, a folder SQLite cannot use, a database that
            does not answer. A broker that does not answer is waited for.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    prepare(settings.resolved_database_url, mode=mode)
    publisher = open_publisher(settings)
    database = open_database(settings.resolved_database_url, publish=publisher.publish)
    stores = open_stores(database)
    wake = open_wake(settings, has_slots=has_slots)
    artifacts = open_artifacts(settings)
    jobs = JobService(stores, wake, artifacts)
    return Installation(
        settings=settings,
        database=database,
        stores=stores,
        wake=wake,
        publisher=publisher,
        artifacts=artifacts,
        jobs=jobs,
        datasets=DatasetService(stores, jobs, artifacts),
    )


def migrate_database(settings: Settings) -> str:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return prepare(settings.resolved_database_url, mode="upgrade")
