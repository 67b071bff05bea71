"""Gets a job its dataset: the one it names, or `default`, which the first job that needs it makes."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import JobLease
from heimdall.domain.dataset import DEFAULT_DATASET, Dataset, DatasetResult, DatasetStatus
from heimdall.domain.errors import (
    ArtifactsRefusedError,
    DatasetLeaseLostError,
    DatasetNotFoundError,
    InvalidConfigError,
)
from heimdall.domain.job import Job
from heimdall.domain.ports import DatasetStore, Stores
from heimdall.jobs.deletions import remove_keys
from heimdall.sdk.context import DatasetFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Making:
    """The right to make one dataset."""

    dataset_id: str
    token: str


class JobDatasets:
    def __init__(
        self,
        job: Job,
        token: str,
        stores: Stores,
        artifacts: ArtifactStore,
        *,
        heartbeats: DatasetStore,
        default_config: Mapping[str, Any],
        lease_seconds: float = 15.0,
        look_seconds: float = 1.0,
    ) -> None:
        self._job = job
        self._lease = JobLease(job.id, token)
        self._stores = stores
        self._artifacts = artifacts
        self._heartbeats = heartbeats
        self._default_config = dict(default_config)
        self._lease_seconds = lease_seconds
        self._look_seconds = look_seconds

    def ready(self, make: Callable[[Dataset, Making], None], check_stop: Callable[[], None]) -> Dataset:
        """The job's dataset; `make` is called when it falls to this job to make it.

        Raises: InvalidConfigError (it is not ready).
        """
        dataset_id = self._job.dataset_id or self._job.manifest.get("dataset_id")
        return self._ready(dataset_id) if dataset_id else self._default(make, check_stop)

    def folder(self, dataset_id: str) -> DatasetFolder:
        """The dataset as a local folder.

        Raises: InvalidConfigError (not the one this job started with).
        """
        dataset = self._ready(dataset_id)
        fixed = self._stores.attempts.fix_manifest(
            self._lease.job_id,
            self._lease.token,
            {
                "dataset_id": dataset.id,
                "dataset_sha256": dataset.sha256,
                "unapproved_sha256": self._stores.datasets.freeze_unapproved(dataset.id),
            },
        )
        if fixed["dataset_sha256"] != dataset.sha256:
            raise InvalidConfigError(
                f"This job started with the samples of checksum {fixed['dataset_sha256']}, but dataset {dataset.name} "
                f"now holds those of {dataset.sha256}; start a new job to train on them."
            )
        path = self._artifacts.local_folder(dataset.key or "", dataset.files)
        unapproved = fixed_unapproved(fixed, self._stores.datasets)
        return DatasetFolder(
            id=dataset.id, name=dataset.name, path=path, sha256=dataset.sha256 or "", unapproved=unapproved
        )

    def is_published(self) -> bool:
        """Whether an attempt that was lost before it could end has published the dataset this job was created for."""
        dataset = self._stores.datasets.get(self._job.dataset_id or "")
        if not self._is_own(dataset) or dataset.status is not DatasetStatus.READY:
            return False
        self._sweep(dataset)
        return True

    def own(self) -> Making:
        """The right to make the dataset this very job was created for. An earlier attempt's is taken from it.

        Raises: LeaseLostError, DatasetLeaseLostError.
        """
        dataset = self._stores.datasets.get(self._job.dataset_id or "")
        making = self._take(dataset, seen=(dataset.lease_token, dataset.heartbeat))
        if making is None:
            raise DatasetLeaseLostError(f"Dataset {dataset.name} is being made by another job.")
        return making

    def keep(self, making: Making) -> None:
        """One heartbeat. Raises: DatasetLeaseLostError, UnavailableError."""
        self._heartbeats.heartbeat(making.dataset_id, making.token)

    def give_up(self, making: Making) -> None:
        """Another job may make it. Never raises: the lease runs out anyway, and why the work ended matters more."""
        try:
            self._stores.datasets.give_up(making.dataset_id, making.token, DatasetStatus.GENERATING.value)
        except Exception:
            logger.warning("The lease of dataset %s could not be given up", making.dataset_id, exc_info=True)

    def publish(
        self, making: Making, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]
    ) -> None:
        """Store every file of `folder`, then make the dataset ready in one step.

        Raises: LeaseLostError, DatasetLeaseLostError.
        """
        prefix = f"datasets/{making.dataset_id}/{making.token}"
        files: list[dict[str, Any]] = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            stored = self._artifacts.put_file(f"{prefix}/{name}", path)
            files.append({"name": name, "size_bytes": stored.size_bytes, "sha256": stored.sha256})
        result = DatasetResult(
            num_samples=num_samples,
            quality=dict(quality),
            size_bytes=sum(file["size_bytes"] for file in files),
            sha256=sha256,
            key=prefix,
            files=files,
        )
        dataset = self._stores.datasets.publish(making.dataset_id, self._lease, token=making.token, result=result)
        if self._is_own(dataset):
            self._sweep(dataset)

    def _take(self, dataset: Dataset, *, seen: tuple[str | None, int] | None) -> Making | None:
        token = str(uuid4())
        is_taken = self._stores.datasets.take_lease(dataset.id, self._lease, token=token, seen=seen)
        return Making(dataset.id, token) if is_taken else None

    def _is_own(self, dataset: Dataset) -> bool:
        return dataset.job_id == self._job.id

    def _sweep(self, dataset: Dataset) -> None:
        """Remove what earlier attempts of this job stored of the dataset, and left half written."""
        prefix = f"datasets/{dataset.id}"
        try:
            self._artifacts.remove_partials(prefix)
            stale = [key for key in self._artifacts.keys(prefix) if not key.startswith(f"{dataset.key}/")]
        except (OSError, ArtifactsRefusedError) as error:
            logger.warning("What earlier attempts left of dataset %s stays: %s", dataset.name, error)
            return
        if stale:
            remove_keys(self._artifacts, stale)

    def _ready(self, dataset_id: str) -> Dataset:
        try:
            dataset = self._stores.datasets.get(dataset_id)
        except DatasetNotFoundError:
            raise InvalidConfigError(f"Dataset {dataset_id} does not exist any more; choose another one.") from None
        if dataset.status is not DatasetStatus.READY:
            raise InvalidConfigError(f"Dataset {dataset.name} is {dataset.status.value}, not ready.")
        return dataset

    def _default(self, make: Callable[[Dataset, Making], None], check_stop: Callable[[], None]) -> Dataset:
        """Wait until `default` is ready, making it when nobody does. Clocks of other machines do not matter."""
        new = Dataset(
            id=str(uuid4()),
            name=DEFAULT_DATASET,
            description=self._default_config.get("description"),
            status=DatasetStatus.GENERATING,
            config=self._default_config,
            created_at=datetime.now(UTC),
        )
        calm = Event()
        seen: tuple[str | None, int] | None = None
        changed_at = 0.0
        next_look = 0.0
        while True:
            check_stop()
            now = time.monotonic()
            if now < next_look:
                calm.wait(0.1)
                continue
            next_look = now + self._look_seconds
            dataset = self._stores.datasets.open(new)
            if dataset.status is DatasetStatus.READY:
                return dataset
            asked_at, now = now, time.monotonic()
            held_by = (dataset.lease_token, dataset.heartbeat)
            was_away = now - asked_at > self._look_seconds  # its maker could not write either
            if held_by != seen or was_away:
                seen, changed_at = held_by, now
            is_free = dataset.lease_token is None
            if is_free or now - changed_at >= self._lease_seconds:
                making = self._take(dataset, seen=None if is_free else held_by)
                if making is not None:
                    with suppress(DatasetLeaseLostError):  # another job makes it now
                        make(dataset, making)
                        return self._ready(dataset.id)


def fixed_unapproved(manifest: Mapping[str, Any], datasets: DatasetStore) -> list[int]:
    """The samples that were unapproved when the job began; manifests of earlier releases hold the list itself."""
    if "unapproved" in manifest:
        return manifest["unapproved"]
    return datasets.frozen_unapproved(manifest["dataset_id"], manifest["unapproved_sha256"])
