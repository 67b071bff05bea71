# pyright: reportUnknownMemberType=false
"""Kills the process it runs in at the Nth of its calls to the database, the artifact store and the disk."""

import os
import signal
import threading
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.store import Database


class Killer:
    """Counts calls; `kill_at` is the one before which the process dies, 0 for none."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.num_calls = 0
        self._lock = threading.Lock()

    def call(self, *args: object) -> None:
        with self._lock:
            self.num_calls += 1
            if self.num_calls == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()

    def watch(self, database: Database) -> None:
        """Statements and commits."""
        for engine in (database.writer, database.reader):
            event.listen(engine, "before_cursor_execute", self.call)
            event.listen(engine, "commit", self.call)

    def watch_disk(self) -> None:
        sync = os.fsync

        def counted(descriptor: int) -> None:
            self.call()
            sync(descriptor)

        os.fsync = counted

    def watched(self, artifacts: ArtifactStore) -> ArtifactStore:
        return cast("ArtifactStore", _Watched(artifacts, self))

    def write_down(self, path: Path) -> None:
        path.write_text(str(self.num_calls), "ascii")


class _Watched:
    def __init__(self, artifacts: ArtifactStore, killer: Killer) -> None:
        self._artifacts = artifacts
        self._killer = killer

    def __getattr__(self, name: str) -> Any:
        self._killer.call()
        return getattr(self._artifacts, name)
