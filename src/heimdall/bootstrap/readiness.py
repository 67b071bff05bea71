"""Whether a server process can do its work right now."""

import threading
from collections.abc import Callable
from pathlib import Path

from heimdall.api.services import Readiness
from heimdall.bootstrap.installation import Installation
from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.errors import HeimdallError, UnavailableError
from heimdall.sdk.registry import find_trainers
from heimdall.store import sqlite_file
from heimdall.worker.slots import SlotsLoop

PROBE_SECONDS = 2.0
DATABASE_SECONDS = 5.0


class ReadinessCheck:
    """Call it to know."""

    def __init__(self, installation: Installation, slots: SlotsLoop | None) -> None:
        self._installation = installation
        self._slots = slots
        self._database = Probe(installation.stores.jobs.counts)
        self._artifacts = artifact_probe(installation.artifacts)
        database = installation.database
        self._file = sqlite_file(database.url) if database.dialect == "sqlite" else None
        self._identity = _identity(self._file)

    def __call__(self) -> Readiness:
        down: list[str] = []
        degraded: list[str] = []
        jobs, slots = self._installation.stores.jobs, self._slots
        try:
            if not self._database.answers(DATABASE_SECONDS) or _identity(self._file) != self._identity:
                down.append("database")
            elif slots is None and not jobs.workers():
                degraded.append("worker")
        except UnavailableError:
            down.append("database")
        if not self._artifacts.answers(PROBE_SECONDS):
            down.append("artifact store")
        if slots is not None and not slots.is_warm:
            degraded.append("warming")
        if self._installation.wake.is_away:
            degraded.append("broker")
        degraded += [f"trainer {name}" for name in find_trainers().left_out]
        degraded += [f"module {name}" for name in (slots.failures if slots else ())]
        return Readiness(down=down, degraded=degraded)


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Which file it is: what is written into one that was removed or replaced is lost."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Probe:
    """Asks in a thread whether something answers, because what hangs must not hold up who wants to know."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_answered = False

    def answers(self, seconds: float) -> bool:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._has_answered = False
                self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(seconds)
        return self._has_answered

    def _run(self) -> None:
        try:
            self._ask()
        except (HeimdallError, OSError):
            return
        self._has_answered = True


def artifact_probe(artifacts: ArtifactStore) -> Probe:
    """Asks for a list: of a key alone, a missing bucket says the same as a missing file."""
    return Probe(lambda: artifacts.keys("readiness"))
