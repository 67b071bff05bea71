"""The news of all jobs, for sockets that watch them all."""

from datetime import UTC, datetime, timedelta

from heimdall.api.live.feed import Bell
from heimdall.api.live.frames import Frame, deleted_frame, job_update_frame
from heimdall.api.live.window import Window
from heimdall.domain.ports import HistoryStore

OVERLAP = timedelta(minutes=1)  # longer than any transaction and any difference between clocks
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Everything:
    """Frames of all jobs in the order they were read, under numbers of this process; `_seen` holds each job's
    newest event number that was handed out."""

    def __init__(self, seen: dict[str, int], looked_at: datetime) -> None:
        self.window = Window(0)
        self.bell = Bell()
        self.num_followers = 0
        self._seen = seen
        self._active = set[str]()
        self._looked_at = looked_at

    @classmethod
    def starting_now(cls, history: HistoryStore) -> "Everything":
        """What happens from now on. Blocks."""
        looked_at = datetime.now(UTC)
        return cls(history.changed_jobs(BEGINNING), looked_at)

    def look(self, history: HistoryStore) -> tuple[dict[str, int], set[str]]:
        """Newest numbers of the jobs that may have news, and the jobs that are gone. Blocks."""
        looked_at = datetime.now(UTC)
        changed = history.changed_jobs(self._looked_at - OVERLAP)
        missing = self._active - set(changed)
        gone = missing - set(history.event_seqs(list(missing))) if missing else set[str]()
        self._active = set(changed)
        self._looked_at = looked_at
        return changed, gone

    def seen(self, job_id: str) -> int:
        return self._seen.get(job_id, 0)

    def append(self, frame: Frame) -> None:
        if frame.seq > self.seen(frame.job_id):
            self._seen[frame.job_id] = frame.seq
            self._show(frame)

    def delete(self, job_id: str) -> None:
        if self._seen.pop(job_id, None) is not None:
            self._show(deleted_frame(job_id))

    def _show(self, frame: Frame) -> None:
        self.window.append(frame)
        update = job_update_frame(frame)
        if update is not None:
            self.window.append(update)
