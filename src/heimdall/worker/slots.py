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
from heimdall.domain.errors import JobNotFoundError, LeaseLostError, RequestChangedError, UnavailableError
from heimdall.domain.job import Job, Requested, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.signals import Wake
from heimdall.worker.allotment import allot, refusal
from heimdall.worker.files import AttemptFiles, attempt_of
from heimdall.worker.output import leftover_lines
from heimdall.worker.processes import ForkServerError, JobProcess, JobRequest, ProcessServer, is_same_process
from heimdall.worker.running import Patience, Running
from heimdall.worker.verdict import MemoryKills, Verdict, judge

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
    ) -> None:
        self._stores = stores
        self._wake = wake
        self._worker = worker
        self._server = fork_server
        self._entry = entry
        self._data_dir = data_dir
        self._dispatch = dispatch
        self._job_env = dict(job_env or {})
        self._payload = dict(payload or {})
        self._patience = patience or Patience()
        self._is_only_worker = is_only_worker  # what cannot run here can run nowhere
        self._threads = max(1, (os.cpu_count() or 1) // max(1, worker.slots))
        self._running: dict[int, Running] = {}
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._has_begun = False
        self._has_adopted = False
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
    def num_free(self) -> int:
        return self._worker.slots - len(self._running)

    @property
    def pids(self) -> dict[str, int]:
        """Process of each running job."""
        return {running.job_id: pid for pid, running in self._running.copy().items()}

    def run(self) -> None:
        self._has_begun = True
        threading.Thread(target=self._listen, name="slots-wake", daemon=True).start()
        try:
            while not self._stopping.is_set():
                self._step_safely()
                self._bell.wait(self._patience.look_seconds)
                self._bell.clear()
            self._drain()
        finally:
            self._server.close()
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
            if not self._has_adopted:
                self._adopt()
                self._has_adopted = True
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
        while not self._stopping.is_set():
            if self._wake.wait(1.0):
                self._bell.set()
            self._end_stopped()

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
        if self._worker.slots > 0 and not self._server.is_alive and now >= self._next_start:
            self._server.start()
            self._next_start = now + 1.0

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
            title=_title(job.id),
            output=files.output,
            env=self._job_env | {"CUDA_VISIBLE_DEVICES": ",".join(devices)},
        )
        try:
            files.begin(devices)
            process = self._server.spawn(request, self.ring)
        except (ForkServerError, OSError) as error:
            logger.warning("Job %s could not be started and goes back to the queue: %s", job.id, error)
            if isinstance(error, OSError):  # such as a full disk: other workers take the jobs meanwhile
                self._next_claim = time.monotonic() + self._patience.unable_seconds
            self._stores.attempts.end(job.id, token, Outcome(action=Action.RELEASED))
            self._dispatch(job.id)
            return
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
        for pulse in self._stores.jobs.pulses():
            if pulse.host != self._worker.host:
                continue
            if pulse.pid is not None and is_same_process(pulse.pid, pulse.process_started or 0.0, _title(pulse.job_id)):
                if pulse.worker == self._worker.name:
                    self._take_over(pulse, pulse.pid)
            elif pulse.pid is not None or pulse.worker == self._worker.name:
                files = AttemptFiles(self._data_dir, pulse.job_id, pulse.attempt)
                self._lose(pulse.job_id, pulse.lease_token, files, "its process ended while the server was down")
        self._sweep()

    def _take_over(self, pulse: Pulse, pid: int) -> None:
        logger.info("Job %s still runs as process %d and is taken over", pulse.job_id, pid)
        process = JobProcess(pid, self.ring, started=pulse.process_started)
        files = AttemptFiles(self._data_dir, pulse.job_id, pulse.attempt)
        self._keep(pulse.job_id, pulse.lease_token, pulse.attempt, process, files.noted_devices())
        process.watch()

    def _sweep(self) -> None:
        """Remove files of attempts that are over."""
        live = {(running.job_id, running.attempt) for running in self._running.values()}
        live |= {(pulse.job_id, pulse.attempt) for pulse in self._stores.jobs.pulses()}
        folder = self._data_dir / "attempts"
        for name in {attempt_of(path) for path in folder.glob("*-*")} - live:
            AttemptFiles(self._data_dir, *name).remove()

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
            job = self._held(running)
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

    def _held(self, running: Running) -> Job | None:
        """The job, while this attempt holds it."""
        try:
            job = self._stores.jobs.get(running.job_id)
        except JobNotFoundError:
            return None
        return job if job.status is Status.RUNNING and job.lease_token == running.token else None

    # After the end

    def _settle_ended(self) -> None:
        for running in [running for running in self._running.values() if running.process.has_ended]:
            try:
                self._settle(running)
            except RequestChangedError:  # asked for something meanwhile: look again
                self.ring()
                continue
            running.files.remove()
            del self._running[running.process.pid]

    def _settle(self, running: Running) -> None:
        """Record the end of a process that did not record it itself."""
        job = self._held(running)
        if job is None:
            self._dispatch_if_pending(running.job_id)
            return
        if self._stopping.is_set():
            self._release(job, running)
            return
        verdict = judge(
            running.process.status,
            epoch=max(job.current_epoch, running.files.noted_epoch()) + 1 if job.total_epochs else None,
            is_memory_exhausted=running.memory.have_risen(),
        )
        logger.warning("Job %s (process %d): %s", job.id, running.process.pid, verdict.message)
        if verdict.is_lost:
            self._lose(job.id, running.token, running.files, verdict.message)
        else:
            self._fail(job, running, verdict)

    def _fail(self, job: Job, running: Running, verdict: Verdict) -> None:
        outcome = Outcome(
            action=Action.FAIL,
            reason=verdict.reason,
            error_message=verdict.message,
            seen=job.requested,
            log_lines=leftover_lines(running.files),
        )
        try:
            self._stores.attempts.end(job.id, running.token, outcome)
        except LeaseLostError:
            return

    def _release(self, job: Job, running: Running) -> None:
        """The loop stops and the process could not hand its job back itself."""
        outcome = Outcome(action=Action.RELEASED, seen=job.requested, log_lines=leftover_lines(running.files))
        try:
            self._stores.attempts.end(job.id, running.token, outcome)
        except LeaseLostError:
            return
        self._dispatch_if_pending(job.id)

    def _lose(self, job_id: str, token: str, files: AttemptFiles, cause: str) -> None:
        job = self._stores.attempts.lose(job_id, token, heartbeat=None, cause=cause, log_lines=leftover_lines(files))
        if job is not None and job.status is Status.PENDING:
            self._dispatch(job_id)

    def _dispatch_if_pending(self, job_id: str) -> None:
        try:
            if self._stores.jobs.get(job_id).status is Status.PENDING:
                self._dispatch(job_id)
        except JobNotFoundError:
            return

    # Stopping

    def _drain(self) -> None:
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
                self._settle_ended()
            except UnavailableError as error:
                logger.warning("The database is away while jobs are handed back: %s", error)
            left = deadline - time.monotonic()
            if not self._running or left <= 0:
                return
            self._bell.wait(min(left, 0.5))
            self._bell.clear()


def _title(job_id: str) -> str:
    return f"heimdall run-job {job_id}"
