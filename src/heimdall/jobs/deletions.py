"""Removing what was deleted. Rows first: the table of deletions names what may have left files behind."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.errors import ArtifactsRefusedError, BadPathError, UnavailableError
from heimdall.domain.ports import Stores

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.02  # between slices, so that others may write


def remove_keys(artifacts: ArtifactStore, keys: Sequence[str]) -> bool:
    """Whether the files are gone. What cannot be deleted now fails nothing: it goes later, or with its job."""
    try:
        artifacts.delete(keys)
    except (OSError, UnavailableError, ArtifactsRefusedError) as error:
        logger.warning("%d file(s) nobody needs stay for now: %s", len(keys), error)
        return False
    return True


class Sweep:
    """Removes the rows and files of deleted jobs and datasets, and empties events of jobs ended for `keep_events`.

    It removes the files of each twice, `seconds` apart: a worker that was cut off may still be writing one.
    """

    def __init__(
        self,
        stores: Stores,
        artifacts: ArtifactStore,
        *,
        seconds: float = 60.0,
        keep_events: timedelta | None = None,
    ) -> None:
        self._stores = stores
        self._artifacts = artifacts
        self._seconds = seconds
        self._keep_events = keep_events
        self._due_at = dict[str, float]()  # monotonic; of what was tried before
        self._emptied = set[str]()  # prefixes whose files were removed once
        self._work = threading.Event()

    def wake(self) -> None:
        """Something was deleted, or the service stops."""
        self._work.set()

    def run(self, stop: threading.Event) -> None:
        """Returns soon after `stop` is set and `wake` called."""
        while not stop.is_set():
            self._work.clear()
            for task in (self.sweep, self.empty_events, self.shrink):
                try:
                    task(stop)
                except UnavailableError as error:
                    logger.warning("Deleted jobs wait for their removal: %s", error)
                except Exception:
                    logger.exception("The sweep of deleted jobs failed; it tries again")
            self._work.wait(self._seconds)

    def sweep(self, stop: threading.Event) -> None:
        """Raises: UnavailableError."""
        waiting = self._stores.jobs.deleted()
        self._emptied &= set(waiting)
        self._due_at = {prefix: self._due_at[prefix] for prefix in waiting if prefix in self._due_at}
        due = [prefix for prefix in waiting if self._due_at.get(prefix, 0.0) <= time.monotonic()]
        for prefix in due:
            while not stop.is_set() and self._stores.jobs.delete_rows(prefix):
                stop.wait(PAUSE_SECONDS)
        for prefix in due:
            if stop.is_set():
                return
            self._remove_files(prefix)

    def empty_events(self, stop: threading.Event) -> None:
        """Raises: UnavailableError."""
        if self._keep_events is not None:
            while not stop.is_set() and self._stores.jobs.empty_events(ended_for=self._keep_events):
                stop.wait(PAUSE_SECONDS)

    def shrink(self, stop: threading.Event) -> None:
        """Raises: UnavailableError."""
        while not stop.is_set() and self._stores.jobs.shrink():
            stop.wait(PAUSE_SECONDS)

    def _remove_files(self, prefix: str) -> None:
        """Raises: UnavailableError."""
        self._due_at[prefix] = time.monotonic() + self._seconds
        try:
            self._artifacts.delete_prefix(prefix)
        except (OSError, ArtifactsRefusedError, BadPathError) as error:
            logger.warning("The files of %s cannot be removed and stay for now: %s", prefix, error)
            return
        if prefix in self._emptied:
            self._stores.jobs.forget_deleted(prefix)
        else:
            self._emptied.add(prefix)
