"""The catalogue of datasets: ask for one, look at it, approve samples, delete it."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.errors import ConflictError, InvalidInputError
from heimdall.domain.job import Job
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey
from heimdall.jobs.request import JobRequest
from heimdall.jobs.service import JobService


class DatasetService:
    def __init__(self, stores: Stores, jobs: JobService, artifacts: ArtifactStore) -> None:
        self._stores = stores
        self._jobs = jobs
        self._artifacts = artifacts

    def generate(
        self, config: Mapping[str, Any], *, actor: str | None = None, idempotency: IdempotencyKey | None = None
    ) -> tuple[Job, Dataset]:
        """Start a job that makes a dataset. Raises: InvalidInputError, ConflictError (the name is taken)."""
        request = JobRequest(kind="synthetic", config=config, config_loc=(), job_name=_job_name(config))
        job = self._jobs.create(request, actor=actor, idempotency=idempotency)
        return job, self._stores.datasets.get(job.dataset_id or "")

    def get(self, dataset_id: str) -> Dataset:
        return self._stores.datasets.get(dataset_id)

    def page(self, *, limit: int, offset: int) -> tuple[list[Dataset], int]:
        """Newest first, and how many there are in all."""
        return self._stores.datasets.page(limit=limit, offset=offset)

    def delete(self, dataset_id: str) -> None:
        """Raises: DatasetNotFoundError, ConflictError (a job that has not ended uses it)."""
        self._stores.datasets.delete(dataset_id)
        self._jobs.wake_sweep()

    def samples(self, dataset_id: str, *, limit: int, offset: int) -> dict[str, Any]:
        """`{"samples", "total", "limit", "offset"}`. Raises: ConflictError while the dataset is not ready."""
        dataset = self._ready(dataset_id)
        folder = self._artifacts.local_folder(dataset.key or "", dataset.files)
        # Loaded at the first look at samples only: the API process starts without NumPy.
        reader = import_module("heimdall.datasets.reader").open_dataset(folder)
        unapproved = set(self._stores.datasets.unapproved(dataset_id))
        samples = reader.samples(offset, limit)
        for sample in samples:
            sample["approved"] = sample["index"] not in unapproved
        return {"samples": samples, "total": dataset.num_samples, "limit": limit, "offset": offset}

    def set_approved(self, dataset_id: str, indexes: Sequence[int], *, approved: bool) -> None:
        """Raises: InvalidInputError for an index that the dataset does not have."""
        dataset = self._ready(dataset_id)
        outside = [index for index in indexes if not 0 <= index < dataset.num_samples]
        if outside:
            message = f"The dataset has samples 0 to {dataset.num_samples - 1}, not {outside[0]}."
            raise InvalidInputError(message, [{"loc": ["indexes"], "msg": message}])
        self._stores.datasets.set_approved(dataset_id, indexes, approved=approved)

    def _ready(self, dataset_id: str) -> Dataset:
        dataset = self._stores.datasets.get(dataset_id)
        if dataset.status is not DatasetStatus.READY:
            raise ConflictError(
                f"Dataset {dataset_id} is {dataset.status.value}, not ready; it has no samples to show."
            )
        return dataset


def _job_name(config: Mapping[str, Any]) -> str | None:
    name = config.get("name")
    return f"generate {name}" if isinstance(name, str) and name else None
