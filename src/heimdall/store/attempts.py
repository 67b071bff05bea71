"""AttemptStore: what slots loops and job processes do, fenced by the lease token."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, or_, select, update

from heimdall.domain.attempt import PAUSE_CHECKPOINT, Attempt, Batch, Checkpoint, Outcome, WorkerInfo
from heimdall.domain.errors import LeaseLostError, RequestChangedError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, Phase, Requested, Status
from heimdall.domain.lifecycle import Action, next_status
from heimdall.store.batches import write_batch
from heimdall.store.change import append_events, jobs, update_job
from heimdall.store.endings import end_attempt, lose_attempt
from heimdall.store.engine import Database, reads, writes
from heimdall.store.files import checkpoint_of, drop_artifact, upsert
from heimdall.store.lease import lease_lost, leased, lock_leased
from heimdall.store.metrics import newest_figures
from heimdall.store.tables import attempts, checkpoints, training_jobs, workers
from heimdall.store.vanished import end_vanished

LONGEST_BACK_OFF = timedelta(seconds=60)  # one further ahead says that the clock was set back: it is ignored


class SqlAttemptStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    @writes
    def claim(
        self,
        connection: Connection,
        worker: WorkerInfo,
        *,
        free_gpus: int,
        impossible_above: int | None = None,
        job_id: str | None = None,
    ) -> Job | None:
        now = self.database.now()
        fits = jobs.gpus <= free_gpus
        best = select(jobs.id).where(
            jobs.status == Status.QUEUED,
            fits if impossible_above is None else or_(fits, jobs.gpus > impossible_above),
            or_(jobs.not_before.is_(None), jobs.not_before <= now, jobs.not_before > now + LONGEST_BACK_OFF),
        )
        if job_id is not None:
            best = best.where(jobs.id == job_id)
        best = best.order_by(jobs.priority.desc(), jobs.created_at, jobs.id).limit(1)
        guard = (
            jobs.id == best.with_for_update(skip_locked=True).scalar_subquery(),
            jobs.status == Status.QUEUED,
        )
        values: dict[str, Any] = {
            "status": next_status(Status.QUEUED, Action.CLAIM),
            "attempt": jobs.attempt + 1,
            "lease_token": str(uuid4()),
            "batch": 0,
            "heartbeat": 0,
            "heartbeat_at": now,
            "requested": None,
            "reason": None,
            "error_message": None,
            "phase": Phase.STARTING,
            "worker": worker.name,
            "started_at": func.coalesce(jobs.started_at, now),
        }
        data: dict[str, Any] = {"status": Status.RUNNING.value, "phase": Phase.STARTING.value, "worker": worker.name}
        job = update_job(connection, guard, values, [NewEvent(EventName.PHASE, data)], now)
        if job is None:
            return None
        append_events(connection, job, [NewEvent(EventName.PHASE, {**data, "attempt": job.attempt})], now)
        row = {"number": job.attempt, "worker": worker.name, "host": worker.host, "started_at": now}
        connection.execute(attempts.insert().values(job_id=job.id, **row))
        return job

    @writes
    def started(self, connection: Connection, job_id: str, token: str, *, pid: int, process_started: float) -> None:
        job = lock_leased(connection, job_id, token)
        connection.execute(update(attempts).where(_attempt(job)).values(pid=pid, process_started=process_started))

    @writes
    def heartbeat(self, connection: Connection, job_id: str, token: str) -> Requested | None:
        statement = (
            update(training_jobs)
            .where(*leased(job_id, token))
            .values(heartbeat=jobs.heartbeat + 1, heartbeat_at=self.database.now())
            .returning(jobs.requested)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            raise lease_lost(job_id)
        return row.requested

    @reads
    def requested(self, connection: Connection, job_id: str, token: str) -> Requested | None:
        row = connection.execute(select(jobs.requested).where(*leased(job_id, token))).one_or_none()
        if row is None:
            raise lease_lost(job_id)
        return row.requested

    @writes
    def write(self, connection: Connection, job_id: str, token: str, batch: Batch) -> None:
        write_batch(connection, job_id, token, batch, self.database.now())

    @writes
    def fix_manifest(
        self, connection: Connection, job_id: str, token: str, manifest: Mapping[str, Any]
    ) -> dict[str, Any]:
        job = lock_leased(connection, job_id, token)
        fixed = {**manifest, **job.manifest}
        connection.execute(update(training_jobs).where(jobs.id == job_id).values(manifest=fixed))
        return fixed

    @writes
    def took_over(self, connection: Connection, job_id: str, token: str, *, from_epoch: int, from_step: int) -> None:
        job = lock_leased(connection, job_id, token)
        connection.execute(update(attempts).where(_attempt(job)).values(from_epoch=from_epoch, from_step=from_step))
        drop_artifact(connection, job_id, PAUSE_CHECKPOINT)
        values: dict[str, Any] = {
            "pause_checkpoint_path": None,
            "current_epoch": from_epoch,
            "updated_at": self.database.now(),
        }
        if job.total_epochs:
            values["progress_percent"] = 100.0 * from_epoch / job.total_epochs
        if from_epoch < job.current_epoch:  # the newest epoch's figures are those of an abandoned tail
            values |= newest_figures(connection, job_id)
        if job.best_epoch is not None and job.best_epoch > from_epoch:
            values |= {"best_epoch": None, "best_val_loss": None}  # of an abandoned tail; the trainer says it anew
        connection.execute(update(training_jobs).where(jobs.id == job_id).values(**values))

    @writes
    def end(self, connection: Connection, job_id: str, token: str, outcome: Outcome) -> Job:
        job = lock_leased(connection, job_id, token)
        if outcome.action not in {Action.FAIL, Action.FINISH} and outcome.seen is not job.requested:
            raise RequestChangedError(f"What is asked of training job {job_id} is {job.requested} now.")
        return end_attempt(connection, job, outcome, self.database.now())

    @writes
    def lose(
        self,
        connection: Connection,
        job_id: str,
        token: str,
        *,
        heartbeat: int | None,
        cause: str,
        log_lines: Sequence[Mapping[str, Any]] = (),
    ) -> Job | None:
        end_vanished(connection)
        try:
            job = lock_leased(connection, job_id, token)
        except LeaseLostError:
            return None
        if heartbeat is not None and job.heartbeat != heartbeat:
            return None
        return lose_attempt(connection, job, cause, log_lines, self.database.now())

    @reads
    def checkpoints(self, connection: Connection, job_id: str) -> list[Checkpoint]:
        order = (checkpoints.c.attempt.desc(), checkpoints.c.epoch.desc())
        statement = select(checkpoints).where(checkpoints.c.job_id == job_id).order_by(*order)
        return [checkpoint_of(row) for row in connection.execute(statement).mappings()]

    @writes
    def retire_checkpoints(self, connection: Connection, job_id: str, token: str, keys: Sequence[str]) -> None:
        lock_leased(connection, job_id, token)
        mine = (checkpoints.c.job_id == job_id) & checkpoints.c.key.in_(keys)
        connection.execute(update(checkpoints).where(mine).values(is_deleted=True))

    @reads
    def attempts(self, connection: Connection, job_id: str) -> list[Attempt]:
        statement = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
        rows = connection.execute(statement).mappings()
        return [_attempt_of(row) for row in rows]

    @writes
    def announce(self, connection: Connection, worker: WorkerInfo) -> None:
        known = connection.execute(select(workers.c.counter).where(workers.c.name == worker.name)).scalar_one_or_none()
        row = {
            "name": worker.name,
            "host": worker.host,
            "slots": worker.slots,
            "devices": worker.devices,
            "seen_at": self.database.now(),
            "counter": (known or 0) + 1,
        }
        upsert(connection, workers, row, keys=["name"])

    @writes
    def retire(self, connection: Connection, name: str) -> None:
        connection.execute(delete(workers).where(workers.c.name == name))


def _attempt(job: Job) -> ColumnElement[bool]:
    return (attempts.c.job_id == job.id) & (attempts.c.number == job.attempt)


def _attempt_of(row: RowMapping) -> Attempt:
    columns: dict[str, Any] = {**row, "from_epoch": row["from_epoch"] or 0, "from_step": row["from_step"] or 0}
    return Attempt(**columns)
