"""Files in the artifact store that no row names."""

import logging
import re
from collections.abc import Callable
from datetime import timedelta

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.errors import NotFoundError
from heimdall.domain.job import Job, Status
from heimdall.domain.ports import Stores
from heimdall.domain.removal import Removal
from heimdall.jobs.deletions import remove_keys

logger = logging.getLogger(__name__)

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
DATASETS = "datasets"


class Garbage:
    """Removes what killed or cut-off attempts of ended jobs left in the artifact store, beside whatever runs.

    Only below the prefixes of jobs and datasets, and only what is older than `age` by the store's own clock. A job that
    can still train is passed over: it may have files whose row is about to be written. Of jobs and datasets that the
    database does not know, perhaps because they are another installation's, files go with `has_unknown` alone.
    """

    def __init__(self, stores: Stores, artifacts: ArtifactStore, *, age: timedelta, has_unknown: bool) -> None:
        self._stores = stores
        self._artifacts = artifacts
        self._age = age
        self._has_unknown = has_unknown
        self._unneeded: dict[str, int] = {}  # key → size in bytes
        self._unknown: dict[str, int] = {}

    def collect(self, *, is_dry_run: bool) -> list[Removal]:
        """Raises: UnavailableError, ArtifactsRefusedError."""
        waiting = set(self._stores.jobs.deleted())  # the service removes these itself
        for prefix in [*self._artifacts.prefixes(""), *self._artifacts.prefixes(DATASETS)]:
            name = prefix.rpartition("/")[2]
            if UUID.fullmatch(name) and prefix not in waiting:
                self._look_at(prefix, self._needed_by_dataset if "/" in prefix else self._needed_by_job, name)
        found = [Removal.of("files of jobs and datasets that no row names", self._unneeded)]
        doomed = dict(self._unneeded)
        if self._has_unknown:
            found.append(Removal.of("files of jobs and datasets that this database does not know", self._unknown))
            doomed |= self._unknown
        elif self._unknown:
            logger.warning(
                "%d files of jobs and datasets that this database does not know stay; --unknown removes them too",
                len(self._unknown),
            )
        if doomed and not is_dry_run:
            remove_keys(self._artifacts, list(doomed))
        return found

    def _look_at(self, prefix: str, needed: Callable[[str], Callable[[str], bool]], name: str) -> None:
        aged = self._artifacts.aged(prefix, self._age)  # before its rows are read: what they name later is no older
        try:
            is_needed = needed(name)
        except NotFoundError:
            self._unknown |= aged
        else:
            self._unneeded |= {key: size for key, size in aged.items() if not is_needed(key)}

    def _needed_by_job(self, job_id: str) -> Callable[[str], bool]:
        job: Job = self._stores.jobs.get(job_id)
        if job.status not in ENDED:
            return lambda _: True
        named = {artifact.file.key for artifact in self._stores.history.artifacts(job_id)}
        named |= {saved.file.key for saved in self._stores.attempts.checkpoints(job_id) if not saved.is_deleted}
        return named.__contains__

    def _needed_by_dataset(self, dataset_id: str) -> Callable[[str], bool]:
        dataset: Dataset = self._stores.datasets.get(dataset_id)
        if dataset.status is DatasetStatus.GENERATING:
            return lambda _: True
        return lambda key: dataset.key is not None and key.startswith(f"{dataset.key}/")
