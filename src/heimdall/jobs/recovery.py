"""Notices jobs whose worker is gone by watching their heartbeats, and hands out what waits.

Runs in every API process. Nothing here compares wall clocks: a heartbeat is a counter, and how long it stood still
is measured on this process's own monotonic clock (so a changed clock or a sleeping machine never kills a healthy job).
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from heimdall.domain.errors import JobNotFoundError, UnavailableError
from heimdall.domain.job import Job, Status
from heimdall.domain.ports import Stores

logger = logging.getLogger(__name__)

NO_JOB = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class _Watched:
    lease_token: str
    heartbeat: int
    changed_at: float  # monotonic


class Recovery:
    """`look()` is one step; `run()` takes one a second until it is told to stop."""

    def __init__(
        self,
        stores: Stores,
        dispatch: Callable[[str], Job],
        *,
        warns_of_missing_gpus: bool = False,
        lease_seconds: float = 15.0,
        gap_seconds: float = 2.0,
        look_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores = stores
        self._dispatch = dispatch
        self._warns_of_missing_gpus = warns_of_missing_gpus  # elsewhere such jobs are refused: no worker can come
        self._lease_seconds = lease_seconds
        self._gap_seconds = gap_seconds
        self._look_seconds = look_seconds
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._last_look: float | None = None
        self._trusted_since = clock()  # nothing is judged in the first lease after this
        self._is_away = False
        self._failed: set[str] = set()  # jobs whose trouble is in the log already

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._look_seconds):
            try:
                self.look()
            except Exception:
                logger.exception("Recovery failed once and goes on")

    def look(self) -> None:
        """Hand out pending jobs, warn queued ones, judge the running ones."""
        begun = self._clock()
        if self._last_look is None or begun - self._last_look > self._gap_seconds:
            self._start_over(begun)
        try:
            for job_id in self._stores.jobs.pending_ids():
                job = self._for_one(job_id, lambda job_id=job_id: self._dispatch(job_id))
                if job is not None and job.status is Status.PENDING:
                    break  # the broker is away: the others would stay too
            if self._warns_of_missing_gpus:
                self._stores.jobs.warn_of_missing_gpus()
            self._stores.jobs.workers()  # their counters are watched from here, once a second
            self._judge()
        except UnavailableError as error:
            if not self._is_away:
                logger.warning("The database is away; recovery waits: %s", error)
            self._is_away = True
            self._start_over(self._clock())
        else:
            self._is_away = False
        finally:
            self._last_look = begun

    def _for_one(self, job_id: str, work: Callable[[], Job | None]) -> Job | None:
        """Do `work` for one of many jobs: what is wrong with it must not keep the others waiting."""
        try:
            return work()
        except JobNotFoundError:  # deleted meanwhile
            return None
        except UnavailableError:
            raise
        except Exception:
            if job_id not in self._failed:
                logger.exception("Recovery cannot help job %s and passes over it", job_id)
            self._failed.add(job_id)
            return None

    def _start_over(self, now: float) -> None:
        self._trusted_since = now
        self._watched.clear()

    def _judge(self) -> None:
        pulses = self._stores.jobs.pulses()
        now = self._clock()
        seen: dict[str, _Watched] = {}
        for pulse in pulses:
            before = self._watched.get(pulse.job_id)
            if before is None or (before.lease_token, before.heartbeat) != (pulse.lease_token, pulse.heartbeat):
                before = _Watched(pulse.lease_token, pulse.heartbeat, now)
            seen[pulse.job_id] = before
        self._watched = seen
        longest = max((now - watched.changed_at for watched in seen.values()), default=0.0)
        if longest > self._lease_seconds / 3 and not self._can_write():
            # A worker that cannot write because nobody can is not lost.
            self._start_over(self._clock())
            return
        if now - self._trusted_since < self._lease_seconds:
            return
        for job_id, watched in list(seen.items()):
            if now - watched.changed_at >= self._lease_seconds:
                self._for_one(job_id, lambda job_id=job_id, watched=watched: self._lose(job_id, watched))

    def _can_write(self) -> bool:
        """Whether a transaction that changes nothing gets its turn at once."""
        begun = self._clock()
        self._stores.jobs.recall(NO_JOB, NO_JOB)
        return self._clock() - begun < self._gap_seconds / 2

    def _lose(self, job_id: str, watched: _Watched) -> Job | None:
        cause = f"no heartbeat for {self._lease_seconds:.0f} s"
        job = self._stores.attempts.lose(job_id, watched.lease_token, heartbeat=watched.heartbeat, cause=cause)
        del self._watched[job_id]
        if job is None:
            return None
        logger.warning("The worker of job %s was lost; the job is %s now", job_id, job.status.value)
        return self._dispatch(job_id) if job.status is Status.PENDING else job
