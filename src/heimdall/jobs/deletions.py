"""What goes for good. Rows first: the table of deletions names what may have left files behind."""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

from heimdall.domain.errors import ArtifactsRefusedError, UnavailableError
from heimdall.domain.ports import ArtifactStore, Stores

logger = logging.getLogger(__name__)


def remove_files(artifacts: ArtifactStore, prefix: str) -> None:
    """At once where possible; what is left is found by the sweep."""
    try:
        artifacts.delete_prefix(prefix)
    except UnavailableError as error:
        logger.warning("The files of %s go later: %s", prefix, error)


def remove_keys(artifacts: ArtifactStore, keys: Sequence[str]) -> bool:
    """Whether the files are gone. What cannot be deleted now fails nothing: it goes later, or with its job."""
    try:
        artifacts.delete(keys)
    except (OSError, UnavailableError, ArtifactsRefusedError) as error:
        logger.warning("%d file(s) nobody needs stay for now: %s", len(keys), error)
        return False
    return True


class Sweep:
    """Finishes deletions that a crash or an outage cut short, and empties events of jobs ended for `keep_events`.

    It looks twice at each deletion, `seconds` apart: a worker that was cut off may still be writing a file.
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
        self._looked_at = set[str]()

    def run(self, stop: threading.Event) -> None:
        while True:
            try:
                self.look()
                self.empty_events(stop)
            except UnavailableError as error:
                logger.warning("Deleted files wait for their removal: %s", error)
            except Exception:
                logger.exception("The sweep of deleted files failed once and goes on")
            if stop.wait(self._seconds):
                return

    def look(self) -> None:
        """Raises: UnavailableError."""
        for prefix in self._stores.jobs.sweep_deleted():
            self._artifacts.delete_prefix(prefix)
            if prefix in self._looked_at:
                self._stores.jobs.forget_deleted(prefix)
                self._looked_at.remove(prefix)
            else:
                self._looked_at.add(prefix)

    def empty_events(self, stop: threading.Event) -> None:
        """Raises: UnavailableError."""
        if self._keep_events is not None:
            while not stop.is_set() and self._stores.jobs.empty_events(ended_for=self._keep_events):
                pass
