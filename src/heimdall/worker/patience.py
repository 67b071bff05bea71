"""Stores that wait while the database or the object store is away, so that no call of a job's process fails for it.

The writer and the heartbeat do not use them: they have ways of their own to go on.
"""

import logging
from dataclasses import replace
from functools import wraps
from threading import Event
from typing import Any, cast

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.errors import UnavailableError
from heimdall.domain.ports import AttemptStore, DatasetStore, HistoryStore, JobStore, Stores

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
NOT_WORTH_WAITING = frozenset({"delete"})  # what is not deleted now is deleted later


def patient(stores: Stores) -> Stores:
    """The same stores; a call that finds the database away is made again until it answers."""
    return replace(
        stores,
        jobs=cast("JobStore", _Patient(stores.jobs, "The database")),
        attempts=cast("AttemptStore", _Patient(stores.attempts, "The database")),
        history=cast("HistoryStore", _Patient(stores.history, "The database")),
        datasets=cast("DatasetStore", _Patient(stores.datasets, "The database")),
    )


def patient_artifacts(artifacts: ArtifactStore) -> ArtifactStore:
    """The same store; what is asked of an object store that is away is asked again until it answers."""
    return cast("ArtifactStore", _Patient(artifacts, "The object store", NOT_WORTH_WAITING))


class _Patient:
    def __init__(self, store: Any, name: str, impatient: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._name = name
        self._impatient = impatient

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name in self._impatient:
            return call

        @wraps(call)
        def insist(*args: Any, **kwargs: Any) -> Any:
            calm = Event()
            is_away = False
            while True:
                try:
                    return call(*args, **kwargs)
                except UnavailableError as error:
                    if not is_away:
                        logger.warning("%s is away; the job waits for it: %s", self._name, error)
                    is_away = True
                    calm.wait(RETRY_SECONDS)

        return insist
