"""The news of all jobs, for sockets that watch them all."""

import time
from collections.abc import Collection

from heimdall.api.live.feed import Bell
from heimdall.api.live.frames import Frame, deleted_frame, job_update_frame
from heimdall.api.live.window import Window
from heimdall.domain.ports import HistoryStore
from heimdall.domain.records import ChangeMark

FULL_READ_SECONDS = 5.0
FULL_READ_SHARE = 0.02  # of the time at most


class Everything:
    """Frames of all jobs in the order they were read, under numbers of this process; `_seen` holds each job's
    newest event number that was handed out.

    Each poll reads the jobs that changed. From time to time all are read: that finds the ones which another process
    deleted, and what a worker of an older release wrote.
    """

    def __init__(self, seen: dict[str, int], mark: ChangeMark) -> None:
        self.window = Window(0)
        self.bell = Bell()
        self.num_followers = 0
        self._seen = seen
        self._deleted = set[str]()
        self._mark = mark
        self._full_read_at = time.monotonic() + FULL_READ_SECONDS

    @classmethod
    def starting_now(cls, history: HistoryStore) -> "Everything":
        """What happens from now on. Blocks."""
        return cls(*history.changed_jobs(None))

    def poll(self, history: HistoryStore) -> tuple[dict[str, int], bool]:
        """Newest numbers of the jobs that may have news, and whether these are all jobs. Blocks."""
        begun = time.monotonic()
        is_full = begun >= self._full_read_at
        newest, self._mark = history.changed_jobs(None if is_full else self._mark)
        if is_full:
            now = time.monotonic()
            self._full_read_at = now + max(FULL_READ_SECONDS, (now - begun) / FULL_READ_SHARE)
        return newest, is_full

    def missing(self, there: Collection[str]) -> set[str]:
        """Known jobs that are not among `there`, which was a full read."""
        self._deleted.intersection_update(there)
        return self._seen.keys() - there

    def seen(self, job_id: str) -> int | None:
        """The newest number that was handed out; None when there can be nothing new."""
        return None if job_id in self._deleted else self._seen.get(job_id, 0)

    def append(self, frame: Frame) -> None:
        seen = self.seen(frame.job_id)
        if seen is not None and frame.seq > seen:
            self._seen[frame.job_id] = frame.seq
            self._show(frame)

    def delete(self, job_id: str) -> None:
        """Show it once. What was read of the job before its deletion was noticed is not shown after it."""
        if self._seen.pop(job_id, None) is not None:
            self._deleted.add(job_id)
            self._show(deleted_frame(job_id))

    def _show(self, frame: Frame) -> None:
        self.window.append(frame)
        update = job_update_frame(frame)
        if update is not None:
            self.window.append(update)
