"""JobStore: what callers do to jobs. Each method is one transaction."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from heimdall.domain.attempt import PAUSE_CHECKPOINT, Pulse
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.errors import CheckpointDamagedError, ConflictError, InvalidInputError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, NewJob, Reason, Requested, Status
from heimdall.domain.lifecycle import Action, allowed_from, next_status
from heimdall.domain.records import IdempotencyKey, JobFilter, JobPage, Oldest, WorkerRow
from heimdall.store.change import append_events, change_job, jobs, lock_job, read_job, update_job, warn
from heimdall.store.creation import create_job, put_tags
from heimdall.store.datasets import end_generation, lock_dataset
from heimdall.store.deletion import delete_slice, forget_deletion, hide_job, waiting_deletions
from heimdall.store.endings import close_attempt, completed
from heimdall.store.engine import Database, reads, writes
from heimdall.store.files import drop_artifact, find_artifact, newest_checkpoint
from heimdall.store.liveness import Liveness
from heimdall.store.pages import page_of
from heimdall.store.retention import empty_slice
from heimdall.store.search import put_text
from heimdall.store.shrinking import shrink
from heimdall.store.tables import attempts, workers

CHANGEABLE = frozenset({"job_name", "notes", "tags", "priority"})
PRIORITY_CHANGEABLE = (Status.PENDING, Status.QUEUED, Status.PAUSED)


class SqlJobStore:
    def __init__(self, database: Database, liveness: Liveness | None = None) -> None:
        self.database = database
        self._liveness = liveness or Liveness()

    @writes
    def create(
        self,
        connection: Connection,
        job: NewJob,
        *,
        actor: str | None = None,
        idempotency: IdempotencyKey | None = None,
    ) -> tuple[Job, bool]:
        now = self.database.now()
        return create_job(connection, job, actor=actor, idempotency=idempotency, dataset=None, now=now)

    @writes
    def create_with_dataset(
        self,
        connection: Connection,
        job: NewJob,
        dataset: Dataset,
        *,
        actor: str | None = None,
        idempotency: IdempotencyKey | None = None,
    ) -> tuple[Job, bool]:
        now = self.database.now()
        return create_job(connection, job, actor=actor, idempotency=idempotency, dataset=dataset, now=now)

    @reads
    def get(self, connection: Connection, job_id: str) -> Job:
        return read_job(connection, job_id)

    @reads
    def page(self, connection: Connection, query: JobFilter) -> JobPage:
        return page_of(connection, query)

    @writes
    def update(self, connection: Connection, job_id: str, changes: Mapping[str, Any]) -> Job:
        unknown = sorted(changes.keys() - CHANGEABLE)
        if unknown:
            raise InvalidInputError(f"{unknown[0]} of a job cannot be changed.")
        job = lock_job(connection, job_id)
        if "priority" in changes and job.status not in PRIORITY_CHANGEABLE:
            raise ConflictError.of("change the priority of", job.status, PRIORITY_CHANGEABLE)
        if "tags" in changes:
            put_tags(connection, job_id, list(changes["tags"]))
        job = change_job(connection, job, changes, [], self.database.now())
        if changes.keys() & {"job_name", "notes"}:
            put_text(connection, job.id, job.job_name, job.notes)
        return job

    @writes
    def dispatch(self, connection: Connection, job_id: str, task_id: str) -> Job | None:
        now, status = self.database.now(), next_status(Status.PENDING, Action.DISPATCH)
        events = [_queued(status, task_id)]
        guard = (jobs.id == job_id, jobs.status == Status.PENDING)
        values = {"status": status, "celery_task_id": task_id, "queued_at": now}
        job = update_job(connection, guard, values, events, now)
        if job is not None:
            append_events(connection, job, events, now)
        return job

    @writes
    def recall(self, connection: Connection, job_id: str, task_id: str) -> bool:
        now, status = self.database.now(), next_status(Status.QUEUED, Action.RECALL)
        events = [_queued(status, None)]
        guard = (jobs.id == job_id, jobs.status == Status.QUEUED, jobs.celery_task_id == task_id)
        job = update_job(connection, guard, {"status": status, "celery_task_id": None}, events, now)
        if job is not None:
            append_events(connection, job, events, now)
        return job is not None

    @writes
    def request(self, connection: Connection, job_id: str, requested: Requested, *, actor: str | None = None) -> Job:
        job = lock_job(connection, job_id)
        if requested is Requested.PAUSE and job.total_epochs == 0:
            raise ConflictError("A data-generation job has no epochs to pause at; cancel it instead.")
        if requested is Requested.PAUSE and job.status is Status.PAUSED:
            return job
        if job.status is not Status.RUNNING:
            raise ConflictError.of(requested.value, job.status, [Status.RUNNING])
        if requested is Requested.PAUSE and job.requested is Requested.CANCEL:
            raise ConflictError("Cannot pause this job: it is being cancelled.")
        return self._ask(connection, job, requested, actor)

    @writes
    def cancel(self, connection: Connection, job_id: str, *, actor: str | None = None) -> Job:
        job = lock_job(connection, job_id)
        if job.status is Status.CANCELLED:
            return job
        if job.status is Status.RUNNING:
            return self._ask(connection, job, Requested.CANCEL, actor)
        if job.status.is_ended:
            raise ConflictError.of("cancel", job.status, [Status.RUNNING, *allowed_from(Action.CANCEL)])
        status, now = next_status(job.status, Action.CANCEL), self.database.now()
        values = {
            "status": status,
            "reason": Reason.CANCELLED_BY_USER,
            "completed_at": now,
            "pause_checkpoint_path": None,
        }
        drop_artifact(connection, job_id, PAUSE_CHECKPOINT)
        end_generation(connection, job_id, DatasetStatus.CANCELLED)
        event = completed(job, status, Reason.CANCELLED_BY_USER, actor=actor)
        return change_job(connection, job, values, [event], now)

    @writes
    def resume(
        self, connection: Connection, job_id: str, *, last_good: int | None = None, actor: str | None = None
    ) -> Job:
        job = self._lock_with_dataset(connection, job_id, Action.RESUME)
        if job.status is Status.RUNNING and job.requested is Requested.PAUSE:
            return self._ask(connection, job, None, actor)
        status = next_status(job.status, Action.RESUME)
        values: dict[str, Any] = {"status": status, "reason": None, "not_before": None, "celery_task_id": None}
        events: list[NewEvent] = []
        if last_good is not None:
            drop_artifact(connection, job_id, PAUSE_CHECKPOINT)
            line = f"The pause checkpoint was given up; training went on from the checkpoint of epoch {last_good}."
            values["pause_checkpoint_path"] = None
            values["warnings"], events = warn(job.warnings, [line])
        elif find_artifact(connection, job_id, PAUSE_CHECKPOINT) is None:
            raise CheckpointDamagedError(
                'The pause checkpoint is missing; resume with {"from": "last_good"} to go on from the newest good one.'
            )
        return self._start_again(connection, job, values, events, last_good=last_good, actor=actor)

    @writes
    def retry(
        self, connection: Connection, job_id: str, *, last_good: int | None = None, actor: str | None = None
    ) -> Job:
        job = self._lock_with_dataset(connection, job_id, Action.RETRY)
        values: dict[str, Any] = {
            "status": next_status(job.status, Action.RETRY),
            "completed_at": None,
            "reason": None,
            "error_message": None,
            "restarts": 0,
            "losses_in_row": 0,
            "not_before": None,
            "celery_task_id": None,
            "eta_seconds": None,
        }
        return self._start_again(connection, job, values, [], last_good=last_good, actor=actor)

    @writes
    def take_lease(self, connection: Connection, job_id: str) -> Job | None:
        job = lock_job(connection, job_id)
        if job.status is not Status.RUNNING:
            return None
        status, now = next_status(job.status, Action.CANCELLED), self.database.now()
        end_generation(connection, job_id, DatasetStatus.CANCELLED)
        return close_attempt(
            connection,
            job,
            status,
            values={"reason": Reason.CANCELLED_BY_USER, "completed_at": now},
            events=[completed(job, status, Reason.CANCELLED_BY_USER)],
            cause="lease_taken",
            message="It did not stop in time and its lease was taken away.",
            now=now,
        )

    @writes
    def delete(self, connection: Connection, job_id: str) -> None:
        hide_job(connection, job_id, self.database.now())

    @reads
    def deleted(self, connection: Connection) -> list[str]:
        return waiting_deletions(connection)

    @writes
    def delete_rows(self, connection: Connection, prefix: str) -> bool:
        return delete_slice(connection, prefix)

    def shrink(self) -> bool:
        return shrink(self.database)

    @writes
    def forget_deleted(self, connection: Connection, prefix: str) -> None:
        forget_deletion(connection, prefix)

    @writes
    def empty_events(self, connection: Connection, *, ended_for: timedelta) -> bool:
        return empty_slice(connection, self.database.now() - ended_for)

    @reads
    def pending_ids(self, connection: Connection) -> list[str]:
        order = (jobs.priority.desc(), jobs.created_at, jobs.id)
        statement = select(jobs.id).where(jobs.status == Status.PENDING).order_by(*order)
        return list(connection.execute(statement).scalars())

    @reads
    def pulses(self, connection: Connection) -> list[Pulse]:
        statement = (
            select(
                jobs.id.label("job_id"),
                jobs.lease_token,
                jobs.heartbeat,
                jobs.attempt,
                attempts.c.host,
                attempts.c.pid,
                attempts.c.process_started,
                attempts.c.worker,
            )
            .join(attempts, (attempts.c.job_id == jobs.id) & (attempts.c.number == jobs.attempt))
            .where(jobs.status == Status.RUNNING)
        )
        return [Pulse(**row) for row in connection.execute(statement).mappings()]

    @writes
    def warn_of_missing_gpus(self, connection: Connection) -> None:
        now = self.database.now()
        most = max((len(row["devices"]) for row in self._live_workers(connection)), default=0)
        waits = (jobs.status == Status.QUEUED) & (jobs.gpus > most)
        for row in connection.execute(select(jobs.id, jobs.gpus, jobs.warnings).where(waits)).all():
            line = f"The job waits: no live worker has the {row.gpus} GPU(s) it needs."
            if line in row.warnings:
                continue
            job = lock_job(connection, row.id)
            if job.status is Status.QUEUED:
                warnings, events = warn(job.warnings, [line])
                change_job(connection, job, {"warnings": warnings}, events, now)

    @reads
    def counts(self, connection: Connection) -> dict[str, int]:
        rows = connection.execute(select(jobs.status, func.count()).group_by(jobs.status))
        known = {status.value: count for status, count in rows}
        return {status.value: known.get(status.value, 0) for status in Status}

    @reads
    def oldest(self, connection: Connection) -> Oldest:
        queued = select(func.min(jobs.queued_at)).where(jobs.status == Status.QUEUED)
        running = select(func.min(jobs.heartbeat_at)).where(jobs.status == Status.RUNNING)
        return Oldest(connection.execute(queued).scalar_one(), connection.execute(running).scalar_one())

    @reads
    def workers(self, connection: Connection) -> list[WorkerRow]:
        running = connection.execute(select(jobs.worker, jobs.id).where(jobs.status == Status.RUNNING)).all()
        rows = self._live_workers(connection)
        return [WorkerRow(**row, running=[job for name, job in running if name == row["name"]]) for row in rows]

    def _live_workers(self, connection: Connection) -> list[RowMapping]:
        rows = connection.execute(select(workers).order_by(workers.c.name)).mappings().all()
        live = self._liveness.live({row["name"]: row["counter"] for row in rows})
        return [row for row in rows if row["name"] in live]

    def _ask(self, connection: Connection, job: Job, requested: Requested | None, actor: str | None) -> Job:
        if job.requested is requested:
            return job
        event = NewEvent(EventName.REQUESTED, {"requested": requested and requested.value, "actor": actor})
        return change_job(connection, job, {"requested": requested}, [event], self.database.now())

    def _lock_with_dataset(self, connection: Connection, job_id: str, action: Action) -> Job:
        """The dataset's row is locked first, then the job's: deleting a dataset does the same."""
        dataset_id = read_job(connection, job_id).dataset_id
        is_gone = dataset_id is not None and lock_dataset(connection, dataset_id) is None
        job = lock_job(connection, job_id)
        if is_gone and job.status in allowed_from(action):
            raise ConflictError(f"Cannot {action.value} this job: its dataset {dataset_id} was deleted.")
        return job

    def _start_again(
        self,
        connection: Connection,
        job: Job,
        values: dict[str, Any],
        events: list[NewEvent],
        *,
        last_good: int | None,
        actor: str | None,
    ) -> Job:
        """`last_good`: the epoch of a checkpoint whose file was looked at; otherwise the newest is taken on trust."""
        newest = newest_checkpoint(connection, job.id)
        epoch = last_good if last_good is not None else newest.epoch if newest else 0
        progress = 100.0 * epoch / job.total_epochs if job.total_epochs else 0.0
        data = {"status": values["status"].value, "celery_task_id": None, "resume_epoch": epoch + 1, "actor": actor}
        events = [NewEvent(EventName.RESUMED, data), *events]  # nothing else may follow a completed one
        values = {**values, "current_epoch": epoch, "progress_percent": progress}
        return change_job(connection, job, values, events, self.database.now())


def _queued(status: Status, task_id: str | None) -> NewEvent:
    data = {"status": status.value, "celery_task_id": task_id, "resume_epoch": None, "actor": None}
    return NewEvent(EventName.QUEUED, data)
