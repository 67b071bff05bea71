"""The one loop that starts jobs: claims the best one while a slot is free, and answers for its processes."""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from heimdall.domain.attempt import Outcome, Pulse, WorkerInfo
from heimdall.domain.errors import LeaseLostError, RequestChangedError, UnavailableError
from heimdall.domain.job import Job, Requested
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.signals import Wake
from heimdall.worker.allotment import allot, refusal
from heimdall.worker.caches import adopt_older, bound
from heimdall.worker.files import AttemptFiles, attempt_of
from heimdall.worker.orphans import Orphan, find_orphans, job_title
from heimdall.worker.process_table import is_same_process
from heimdall.worker.processes import ForkServerError, JobProcess, JobRequest, ProcessServer
from heimdall.worker.reaper import Reaper
from heimdall.worker.running import Patience, Running
from heimdall.worker.settlement import Settlement
from heimdall.worker.verdict import MemoryKills

logger = logging.getLogger(__name__)


class SlotsLoop:
    """`run()` works in its own thread until `stop()`, which hands running jobs back."""

    def __init__(
        self,
        *,
        stores: Stores,
        wake: Wake,
        worker: WorkerInfo,
        fork_server: ProcessServer,
        entry: str,
        data_dir: Path,
        dispatch: Callable[[str], object],
        job_env: Mapping[str, str] | None = None,
        payload: Mapping[str, Any] | None = None,
        patience: Patience | None = None,
        is_only_worker: bool = False,
        database: str = "",
        cache_bytes: int | None = None,
    ) -> None:
        self._stores = stores
        self._wake = wake
        self._worker = worker
        self._server = fork_server
        self._entry = entry
        self._data_dir = data_dir
        self._dispatch = dispatch
        self._settlement = Settlement(stores, dispatch)
        self._reaper = Reaper()
        self._job_env = dict(job_env or {})
        self._payload = dict(payload or {})
        self._patience = patience or Patience()
        self._is_only_worker = is_only_worker  # what cannot run here can run nowhere
        self._database = database  # its name without secrets, "" for that of the data folder
        self._cache_bytes = cache_bytes  # above that, those that no job uses go
        self._threads = max(1, (os.cpu_count() or 1) // max(1, worker.slots))
        self._running: dict[int, Running] = {}
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._has_begun = False
        self.has_adopted = False  # what an earlier loop of this folder left running
        self._is_away = False
        self._next_announcement = 0.0
        self._next_check = 0.0
        self._next_start = 0.0
        self._next_claim = 0.0

    @property
    def is_warm(self) -> bool:
        """Whether a job would start at once."""
        return self._server.is_warm or self._worker.slots == 0

    @property
    def failures(self) -> Mapping[str, str]:
        """Modules of trainers that the fork server could not import, and why."""
        return self._server.failures

    @property
    def num_free(self) -> int:
        return self._worker.slots - len(self._running)

    @property
    def pids(self) -> dict[str, int]:
        """Process of each running job."""
        return {running.job_id: pid for pid, running in self._running.copy().items()}

    def run(self) -> None:
        self._has_begun = True
        try:
            threading.Thread(target=self._listen, name="slots-wake", daemon=True).start()
            while not self._stopping.is_set():
                self._step_safely()
                self._bell.wait(self._patience.look_seconds)
                self._bell.clear()
            self._drain()
        finally:
            try:
                self._server.close()
            finally:
                self._finished.set()

    def stop(self) -> None:
        """Stop taking jobs, hand the running ones back, and return when all of that is done."""
        self._stopping.set()
        self._bell.set()
        if self._has_begun:
            self._finished.wait()

    def ring(self) -> None:
        """Look now."""
        self._bell.set()

    def _step_safely(self) -> None:
        try:
            self.step()
        except Exception:
            logger.exception("The slots loop failed once and goes on")

    def step(self) -> None:
        """Everything the loop does between two waits. A database that is away only delays it."""
        self._keep_server()
        try:
            if not self.has_adopted:
                self._adopt()
                self.has_adopted = True
            self._settle_ended()
            self._supervise()
            self._announce()
            while self.num_free > 0 and self._server.is_warm and self._claim():
                pass
        except UnavailableError as error:
            if not self._is_away:
                logger.warning("The database is away; running jobs go on and new ones wait: %s", error)
            self._is_away = True
        else:
            self._is_away = False
        self._wake.welcome(is_free=self.num_free > 0)

    def _listen(self) -> None:
        is_failing = False
        while not self._stopping.is_set():
            try:
                if self._wake.wait(1.0):
                    self._bell.set()
                self._end_stopped()
            except Exception:  # such as no descriptor left: without this thread jobs would start late
                if not is_failing:
                    logger.exception("Waiting for queued jobs failed; trying again every second")
                is_failing = True
                self._stopping.wait(1.0)
            else:
                is_failing = False

    def _end_stopped(self) -> None:
        """End processes that were stopped for a whole lease: one may hold SQLite's lock, which stops everybody.

        Not in `step`, which waits for that very lock.
        """
        now = time.monotonic()
        for running in list(self._running.values()):
            if not running.process.is_stopped():
                running.stopped_at = None
                continue
            running.stopped_at = running.stopped_at or now
            if now - running.stopped_at >= self._patience.stopped_seconds:
                logger.warning("The process of job %s stands still and is ended", running.job_id)
                running.process.kill()

    def _keep_server(self) -> None:
        now = time.monotonic()
        self._server.check()
        self._reaper.reap([*self._server.pids, *self._running])
        if self._worker.slots > 0 and not self._server.is_alive and now >= self._next_start:
            self._next_start = now + 1.0
            self._server.start()

    def _announce(self) -> None:
        now = time.monotonic()
        if now >= self._next_announcement:
            self._stores.attempts.announce(self._worker)
            self._next_announcement = now + self._patience.announce_seconds

    # Starting

    def _claim(self) -> bool:
        """Start the best job this machine can run, if there is one."""
        if time.monotonic() < self._next_claim:
            return False
        free = self._free_devices()
        impossible_above = len(self._worker.devices) if self._is_only_worker else None
        job = self._stores.attempts.claim(self._worker, free_gpus=len(free), impossible_above=impossible_above)
        if job is None:
            return False
        if job.gpus > len(free):
            self._stores.attempts.end(job.id, job.lease_token or "", refusal(job, len(self._worker.devices)))
        else:
            self._start(job, allot(job, free))
        return True

    def _start(self, job: Job, devices: list[str]) -> None:
        token = job.lease_token or ""
        files = AttemptFiles(self._data_dir, job.id, job.attempt)
        request = JobRequest(
            entry=self._entry,
            payload={
                **self._payload,
                "job_id": job.id,
                "token": token,
                "attempt": job.attempt,
                "threads": self._threads,
                "data_dir": str(self._data_dir),
            },
            title=job_title(job.id),
            output=files.output,
            env=self._job_env | {"CUDA_VISIBLE_DEVICES": ",".join(devices)},
        )
        try:
            files.begin(devices, self._database)
            process = self._server.spawn(request, self.ring)
        except (ForkServerError, OSError) as error:
            logger.warning("Job %s could not be started and goes back to the queue: %s", job.id, error)
            if isinstance(error, OSError):  # such as a full disk: other workers take the jobs meanwhile
                self._next_claim = time.monotonic() + self._patience.unable_seconds
            self._stores.attempts.end(job.id, token, Outcome(action=Action.RELEASED))
            self._dispatch(job.id)
            return
        logger.info("Job %s (%s) runs as process %d", job.job_name, job.id, process.pid)
        running = self._keep(job.id, token, job.attempt, process, devices)
        running.is_recorded = False
        self._record(running)

    def _record(self, running: Running) -> None:
        process = running.process
        with suppress(LeaseLostError):  # it has ended already
            self._stores.attempts.started(
                running.job_id, running.token, pid=process.pid, process_started=process.started
            )
        running.is_recorded = True

    def _keep(self, job_id: str, token: str, attempt: int, process: JobProcess, devices: list[str]) -> Running:
        running = Running(
            job_id=job_id,
            token=token,
            attempt=attempt,
            process=process,
            files=AttemptFiles(self._data_dir, job_id, attempt),
            devices=devices,
            memory=MemoryKills(process.pid),
        )
        self._running[process.pid] = running
        return running

    def _free_devices(self) -> list[str]:
        held = {device for running in self._running.values() for device in running.devices}
        return [device for device in self._worker.devices if device not in held]

    # Taking over what an earlier loop of this machine left

    def _adopt(self) -> None:
        """Whoever started the orphans of this folder is gone: its lock is ours. They count against slots and devices.

        One whose attempt is over (its job was deleted, or given to somebody else) is ended by `_supervise`.
        """
        orphans = find_orphans(self._data_dir)  # first: a process that ends now has its pulse still
        pulses = {(pulse.job_id, pulse.attempt): pulse for pulse in self._stores.jobs.pulses()}
        for orphan in orphans:
            files = AttemptFiles(self._data_dir, orphan.job_id, orphan.attempt)
            if files.is_for(self._database):
                self._take_over(orphan, files, pulses.pop((orphan.job_id, orphan.attempt), None))
            else:
                logger.warning("Job %s still runs as process %d for another database", orphan.job_id, orphan.pid)
        for pulse in pulses.values():
            if pulse.host == self._worker.host:
                self._lose_when_gone(pulse)
        self._sweep({(orphan.job_id, orphan.attempt) for orphan in orphans})

    def _take_over(self, orphan: Orphan, files: AttemptFiles, pulse: Pulse | None) -> None:
        if orphan.pid in self._running:  # the database went away in the middle of an earlier try
            return
        logger.info("Job %s still runs as process %d and is taken over", orphan.job_id, orphan.pid)
        process = JobProcess(orphan.pid, self.ring, started=orphan.started)
        token = pulse.lease_token if pulse else ""
        running = self._keep(orphan.job_id, token, orphan.attempt, process, files.noted_devices())
        running.is_recorded = pulse is None or pulse.pid is not None
        process.watch()

    def _lose_when_gone(self, pulse: Pulse) -> None:
        files = AttemptFiles(self._data_dir, pulse.job_id, pulse.attempt)
        if pulse.pid is None:  # claimed, and perhaps started: by an earlier loop of this folder?
            is_lost = pulse.worker == self._worker.name or files.note.exists()
        else:
            is_lost = not is_same_process(pulse.pid, pulse.process_started or 0.0, job_title(pulse.job_id))
        if is_lost:
            cause = "its process ended while the server was down"
            self._settlement.lose(pulse.job_id, pulse.lease_token, files, cause)

    def _sweep(self, alive: set[tuple[str, int]]) -> None:
        """Remove files of attempts that are over."""
        folder = self._data_dir / "attempts"
        found = {attempt_of(path) for path in folder.glob("*-*")}
        alive |= {(pulse.job_id, pulse.attempt) for pulse in self._stores.jobs.pulses()}
        for name in found - alive:
            AttemptFiles(self._data_dir, *name).remove()
        adopt_older(self._data_dir / "cache", is_idle=not alive)
        self._bound_caches()

    def _bound_caches(self) -> None:
        """In a thread: many gigabytes may take seconds to remove."""
        if self._cache_bytes is not None:
            threading.Thread(target=bound, args=[self._data_dir / "cache", self._cache_bytes], daemon=True).start()

    # Watching

    def _supervise(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + self._patience.look_seconds / 2
        for running in list(self._running.values()):
            running.memory.refresh()
            if not running.is_recorded:
                self._record(running)
            job = self._settlement.held(running)
            if job is None:
                running.lease_gone_at = running.lease_gone_at or now
                if now - running.lease_gone_at >= self._patience.exit_seconds:
                    running.process.kill()
            elif job.requested is Requested.CANCEL:
                running.cancel_seen_at = running.cancel_seen_at or now
                self._enforce_cancel(running, now - running.cancel_seen_at)

    def _enforce_cancel(self, running: Running, waited: float) -> None:
        if waited >= self._patience.cancel_seconds + self._patience.terminate_seconds:
            running.process.kill()
        elif waited >= self._patience.cancel_seconds:
            running.process.terminate()

    # After the end

    def _settle_ended(self) -> None:
        for running in [running for running in self._running.values() if running.process.has_ended]:
            try:
                self._settlement.settle(running, is_stopping=self._stopping.is_set())
            except RequestChangedError:  # asked for something meanwhile: look again
                self.ring()
                continue
            running.files.remove()
            del self._running[running.process.pid]
            self._bound_caches()

    # Stopping

    def _drain(self) -> None:
        if self._running:
            logger.info("Stopping: %d running job(s) go back to the queue and continue later", len(self._running))
        for running in self._running.values():
            running.process.terminate()
        self._settle_until(time.monotonic() + self._patience.drain_seconds)
        for running in self._running.values():
            logger.warning("Job %s did not stop in time and is ended", running.job_id)
            running.process.kill()
        self._settle_until(time.monotonic() + self._patience.terminate_seconds)
        try:
            self._stores.attempts.retire(self._worker.name)
        except UnavailableError as error:
            logger.warning("The database is away; recovery hands the jobs of this worker back: %s", error)

    def _settle_until(self, deadline: float) -> None:
        while True:
            try:
                self._server.check()
                self._settle_ended()
            except UnavailableError as error:
                logger.warning("The database is away while jobs are handed back: %s", error)
            except Exception:  # the drain goes on: jobs that do not stop must be ended
                logger.exception("A job could not be handed back")
            left = deadline - time.monotonic()
            if not self._running or left <= 0:
                return
            self._bell.wait(min(left, 0.5))
            self._bell.clear()
