"""The seams to the database, as the rest of the product asks of it (files: `artifact_store`, wake-ups: `signals`).

Guarantees stated here are tested by one contract suite per port, run against every implementation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from heimdall.domain.access import Token
from heimdall.domain.attempt import (
    Artifact,
    Attempt,
    Batch,
    Checkpoint,
    JobLease,
    Outcome,
    Pulse,
    WorkerInfo,
)
from heimdall.domain.dataset import Dataset, DatasetResult
from heimdall.domain.events import Event, EventName
from heimdall.domain.job import Job, NewJob, Requested
from heimdall.domain.records import ChangeMark, IdempotencyKey, JobFilter, JobPage, Oldest, SeriesSummary, WorkerRow


class JobStore(Protocol):
    """What callers do to jobs. Each method is one transaction: guarded UPDATE + event_seq + event row.

    A status changes only along `domain.lifecycle`; anything else raises ConflictError and writes nothing.
    """

    def create(
        self, job: NewJob, *, actor: str | None = None, idempotency: IdempotencyKey | None = None
    ) -> tuple[Job, bool]:
        """Store a pending job with training:created. Returns (job, is_new).

        The same key and body within 24 h answer the first job and create nothing, also when two arrive at
        once. With `dataset_id` the dataset's row is locked and checked first: it must be ready.

        Raises: InvalidInputError (same key, other body; dataset unknown or not ready).
        """
        ...

    def create_with_dataset(
        self, job: NewJob, dataset: Dataset, *, actor: str | None = None, idempotency: IdempotencyKey | None = None
    ) -> tuple[Job, bool]:
        """`create` for a job that makes a dataset: both rows in one transaction.

        Raises: ConflictError when the dataset's name is taken.
        """
        ...

    def get(self, job_id: str) -> Job: ...

    def page(self, query: JobFilter) -> JobPage: ...

    def update(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        """job_name, notes, tags, priority (priority only while pending, queued or paused: else ConflictError)."""
        ...

    def dispatch(self, job_id: str, task_id: str) -> Job | None:
        """pending → queued under `task_id`, with training:queued. None when it was not pending."""
        ...

    def recall(self, job_id: str, task_id: str) -> bool:
        """queued → pending when still queued under this very `task_id`."""
        ...

    def request(self, job_id: str, requested: Requested, *, actor: str | None = None) -> Job:
        """Ask a running job to pause. Asking twice is fine, also when it is paused by then; cancel asked for already:
        ConflictError."""
        ...

    def cancel(self, job_id: str, *, actor: str | None = None) -> Job:
        """pending, queued, paused → cancelled at once; running: requested = cancel. Twice is fine."""
        ...

    def resume(self, job_id: str, *, last_good: int | None = None, actor: str | None = None) -> Job:
        """paused → pending with training:resumed (or withdraw a pause). Of two at once one raises ConflictError.

        `last_good`: the epoch of the checkpoint to go on from when the pause checkpoint is to be given up.
        """
        ...

    def retry(self, job_id: str, *, last_good: int | None = None, actor: str | None = None) -> Job:
        """failed, cancelled → pending; completed_at, reason, error, restarts, losses_in_row cleared.

        `last_good`: the epoch of the newest checkpoint whose file is whole, 0 when there is none.
        """
        ...

    def take_lease(self, job_id: str) -> Job | None:
        """For delete: take a running job's lease away (status cancelled), so that its worker's writes are refused."""
        ...

    def delete(self, job_id: str) -> None:
        """Delete the job's own row, so that nobody sees it any more; its many rows and its files go by the sweep.

        Raises: JobNotFoundError.
        """
        ...

    def deleted(self) -> list[str]:
        """What deleted jobs and datasets may have left: their prefixes in the artifact store, until forgotten."""
        ...

    def delete_rows(self, prefix: str) -> bool:
        """Delete up to 20,000 rows of one of them; False when there are none left."""
        ...

    def shrink(self) -> bool:
        """Give some of the space of deleted rows back to the disk; False when there is no more to give."""
        ...

    def forget_deleted(self, prefix: str) -> None: ...

    def empty_events(self, *, ended_for: timedelta) -> bool:
        """Empty some step, log and system events of a job ended so long; False when there are none left."""
        ...

    def pending_ids(self) -> list[str]: ...

    def warn_of_missing_gpus(self) -> None:  # once, each queued job that needs more than any live worker has
        ...

    def pulses(self) -> list[Pulse]:
        """All running jobs, for recovery."""
        ...

    def counts(self) -> dict[str, int]: ...

    def oldest(self) -> Oldest: ...

    def workers(self) -> list[WorkerRow]:
        """Those whose counter moved in the last 30 s by this process's clock, or that it first saw since then."""
        ...


class AttemptStore(Protocol):
    """What slots loops and job processes do. What a job's process writes is fenced by its lease token."""

    def claim(
        self, worker: WorkerInfo, *, free_gpus: int, impossible_above: int | None = None, job_id: str | None = None
    ) -> Job | None:
        """Take the best queued job this machine can run (priority desc, created_at), in one statement.

        With `impossible_above` also one that needs more GPUs than that, so that it can be refused. With `job_id` only
        that job. Skips jobs whose back-off (`not_before`) lies ahead. New attempt number, new
        lease token, batch 0, heartbeat 0, requested NULL, status running, phase starting, event training:phase, a row
        in attempts.
        """
        ...

    def started(self, job_id: str, token: str, *, pid: int, process_started: float) -> None:
        """Record the attempt's process, so that a later server can find it."""
        ...

    def heartbeat(self, job_id: str, token: str) -> Requested | None:
        """Raise the counter and read what is requested. Raises LeaseLostError."""
        ...

    def requested(self, job_id: str, token: str) -> Requested | None:
        """Raises LeaseLostError."""
        ...

    def write(self, job_id: str, token: str, batch: Batch) -> None:
        """Store one numbered batch. Storing the same number again is a no-op: it was committed before.

        Raises: LeaseLostError.
        """
        ...

    def fix_manifest(self, job_id: str, token: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what the first attempt fixes (threads, dataset sha256 …): keys already there win. Returns all."""
        ...

    def took_over(self, job_id: str, token: str, *, from_epoch: int, from_step: int) -> None:
        """The attempt goes on after this epoch and step; clears the pause checkpoint, sets current_epoch."""
        ...

    def end(self, job_id: str, token: str, outcome: Outcome) -> Job:
        """The attempt's last transaction: status, reason, event, lease given up. Later calls raise LeaseLostError.

        Raises: LeaseLostError; RequestChangedError when `outcome.seen` is not what is requested now
        (not checked for FAIL and for FINISH).
        """
        ...

    def lose(
        self, job_id: str, token: str, *, heartbeat: int | None, cause: str, log_lines: Sequence[Mapping[str, Any]] = ()
    ) -> Job | None:
        """The worker is gone: → cancelled, paused, pending or failed as `status_after_loss` says.

        With `heartbeat`, only while the counter is still that. None when somebody else was faster.
        """
        ...

    def checkpoints(self, job_id: str) -> list[Checkpoint]:
        """Newest first; deleted ones included, with is_deleted."""
        ...

    def retire_checkpoints(self, job_id: str, token: str, keys: Sequence[str]) -> None:
        """Mark checkpoint files as deleted (their manifests stay). Raises: LeaseLostError."""
        ...

    def attempts(self, job_id: str) -> list[Attempt]: ...

    def announce(self, worker: WorkerInfo) -> None:
        """Say that this slots loop lives (raises its counter)."""
        ...

    def retire(self, name: str) -> None:
        """This slots loop has stopped."""
        ...


class HistoryStore(Protocol):
    """Reads of what was recorded. No method holds a session after it returns."""

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000, types: Sequence[str] = ()) -> list[Event]: ...

    def event_seqs(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Newest seq per job; a deleted job is missing."""
        ...

    def changed_jobs(self, mark: ChangeMark | None) -> tuple[dict[str, int], ChangeMark]:
        """event_seq of the jobs with events since `mark` (perhaps of some more), of all without one; the next mark."""
        ...

    def recent_events(
        self, names: Sequence[EventName], *, job_ids: Sequence[str] | None = None, limit: int
    ) -> list[tuple[str, int]]:
        """(job id, seq) of the newest events of these names, oldest first; a bounded search, in one statement."""
        ...

    def events_at(self, places: Sequence[tuple[str, int]]) -> list[Event]:
        """The events at (job id, seq), in this order; those that are gone are left out."""
        ...

    def states(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """The jobs as they are now; a deleted one is missing."""
        ...

    def metrics(
        self, job_id: str, *, limit: int | None = 100, after_epoch: int | None = None, attempt: int | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """Flat epoch rows, oldest first, the newest `limit` of them; and how many there are in all.

        Without `attempt`: attempt a shows its epochs up to the smallest `from_epoch` of any later attempt.
        """
        ...

    def series(self, job_id: str) -> list[SeriesSummary]: ...

    def buckets(
        self, job_id: str, name: str, *, start: int | None = None, end: int | None = None, max_points: int = 1000
    ) -> dict[str, Any]:
        """`{"width", "buckets": [...]}` as the contract says, over the visible points of all attempts."""
        ...

    def logs(
        self, job_id: str, *, after: int = 0, limit: int = 1000, level: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """Lines after `after` and the number to ask after next; from the training:log events."""
        ...

    def artifacts(self, job_id: str) -> list[Artifact]: ...

    def artifact(self, job_id: str, name: str) -> Artifact:
        """Raises: ArtifactNotFoundError."""
        ...


class DatasetStore(Protocol):
    def get(self, dataset_id: str) -> Dataset: ...

    def find(self, name: str) -> Dataset | None: ...

    def page(self, *, limit: int, offset: int) -> tuple[list[Dataset], int]: ...

    def open(self, dataset: Dataset) -> Dataset:
        """Insert when the name is free, else return the row that is there (used for `default`)."""
        ...

    def take_lease(self, dataset_id: str, holder: JobLease, *, token: str, seen: tuple[str | None, int] | None) -> bool:
        """Become the one that makes it, under `token`; False when another job does, or when it is ready.

        `holder` is the lease of the job that wants to, checked in the same transaction. `seen` is (lease_token,
        heartbeat) that was watched without change for a lease; None: only when free. From an earlier attempt of the
        job that the dataset was created by it is taken at once. Asking again with the same token is fine.

        Raises: LeaseLostError (of the job).
        """
        ...

    def heartbeat(self, dataset_id: str, token: str) -> None:
        """Raises: DatasetLeaseLostError."""
        ...

    def publish(self, dataset_id: str, holder: JobLease, *, token: str, result: DatasetResult) -> Dataset:
        """generating → ready, in one transaction that checks both leases. Publishing the same key again is a no-op.

        Raises: LeaseLostError (of the job), DatasetLeaseLostError.
        """
        ...

    def give_up(self, dataset_id: str, token: str, status: str) -> None:
        """Free the lease; status generating (somebody else may go on), failed or cancelled."""
        ...

    def delete(self, dataset_id: str) -> Dataset:
        """Delete the row. Raises ConflictError while a pending, queued, running or paused job uses it."""
        ...

    def set_approved(self, dataset_id: str, indexes: Sequence[int], *, approved: bool) -> None: ...

    def unapproved(self, dataset_id: str) -> list[int]: ...

    def freeze_unapproved(self, dataset_id: str) -> str:
        """Keep the samples that are unapproved now, once for all jobs that begin with them; their checksum.

        Raises: DatasetNotFoundError.
        """
        ...

    def frozen_unapproved(self, dataset_id: str, sha256: str) -> list[int]:
        """What was kept under that checksum, for as long as the dataset exists. Raises: DatasetNotFoundError."""
        ...


class TokenStore(Protocol):
    def add(self, token: Token) -> None:
        """Raises: ConflictError when a valid token has that name."""
        ...

    def all(self) -> list[Token]:
        """Oldest first, revoked ones included."""
        ...

    def revoke(self, name: str) -> Token:
        """Raises: NotFoundError when no valid token has that name."""
        ...

    def delete_all(self) -> int:
        """How many there were."""
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """All that one database offers."""

    jobs: JobStore
    attempts: AttemptStore
    history: HistoryStore
    datasets: DatasetStore
    tokens: TokenStore
