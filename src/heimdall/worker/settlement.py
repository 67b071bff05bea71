"""What is recorded of job processes that ended without recording it themselves."""

import logging
from collections.abc import Callable

from heimdall.domain.attempt import Outcome
from heimdall.domain.errors import JobNotFoundError, LeaseLostError
from heimdall.domain.job import Job, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.worker.files import AttemptFiles
from heimdall.worker.output import leftover_lines
from heimdall.worker.running import Running
from heimdall.worker.verdict import Verdict, judge

logger = logging.getLogger(__name__)


class Settlement:
    def __init__(self, stores: Stores, dispatch: Callable[[str], object]) -> None:
        self._stores = stores
        self._dispatch = dispatch

    def held(self, running: Running) -> Job | None:
        """The job, while this attempt holds it."""
        job = self._find(running.job_id)
        is_held = job is not None and job.status is Status.RUNNING and job.lease_token == running.token
        return job if is_held else None

    def settle(self, running: Running, *, is_stopping: bool) -> None:
        """Record the end of a process that did not record it itself. Raises: RequestChangedError."""
        job = self.held(running)
        if job is None:
            self._recorded(running.job_id)
        elif is_stopping:
            self._release(job, running)
        else:
            self._judge(job, running)

    def lose(self, job_id: str, token: str, files: AttemptFiles, cause: str) -> None:
        job = self._stores.attempts.lose(job_id, token, heartbeat=None, cause=cause, log_lines=leftover_lines(files))
        if job is not None and job.status is Status.PENDING:
            self._dispatch(job_id)

    def _recorded(self, job_id: str) -> None:
        job = self._find(job_id)
        if job is None:
            logger.info("Job %s was deleted, and its process has ended", job_id)
            return
        if job.status is Status.PENDING:
            self._dispatch(job_id)
        why = f" ({job.error_message})" if job.status is Status.FAILED else ""
        is_waiting = job.status in {Status.PENDING, Status.QUEUED}
        state = "back in the queue" if is_waiting else job.status.value
        epoch = f" after epoch {job.current_epoch}" if job.total_epochs else ""
        logger.info("Job %s (%s) is %s%s%s", job.job_name, job_id, state, epoch, why)

    def _judge(self, job: Job, running: Running) -> None:
        verdict = judge(
            running.process.status,
            epoch=max(job.current_epoch, running.files.noted_epoch()) + 1 if job.total_epochs else None,
            is_memory_exhausted=running.memory.have_risen(),
        )
        logger.warning("Job %s (%s, process %d): %s", job.job_name, job.id, running.process.pid, verdict.message)
        if verdict.is_lost:
            self.lose(job.id, running.token, running.files, verdict.message)
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
        self._recorded(job.id)

    def _find(self, job_id: str) -> Job | None:
        try:
            return self._stores.jobs.get(job_id)
        except JobNotFoundError:
            return None
