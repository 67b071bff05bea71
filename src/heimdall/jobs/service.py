"""What one can do with a job, from submit to delete."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import PAUSE_CHECKPOINT, Artifact, Checkpoint
from heimdall.domain.dataset import DEFAULT_DATASET, Dataset, DatasetStatus
from heimdall.domain.errors import (
    ArtifactNotFoundError,
    BrokerUnavailableError,
    CheckpointDamagedError,
    ConflictError,
    JobNotFoundError,
)
from heimdall.domain.job import Job, NewJob, Requested, Status
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey, JobFilter, JobPage, Oldest, WorkerRow
from heimdall.domain.signals import Wake
from heimdall.jobs.deletions import remove_keys
from heimdall.jobs.request import JobRequest, asked_gpus, new_job
from heimdall.sdk.kept_config import without_unknown
from heimdall.sdk.registry import spec_of


class JobService:
    """Joins the store (truth), the wake-up (speed) and the files of jobs."""

    def __init__(
        self,
        stores: Stores,
        wake: Wake,
        artifacts: ArtifactStore,
        *,
        stop_seconds: float = 10.0,
        wake_sweep: Callable[[], None] = lambda: None,
    ) -> None:
        """`stop_seconds`: how long the worker of a job that is being deleted has to stop. `wake_sweep` is called when
        something was deleted."""
        self._stores = stores
        self._wake = wake
        self._artifacts = artifacts
        self.stop_seconds = stop_seconds
        self.wake_sweep = wake_sweep

    def create(
        self, request: JobRequest, *, actor: str | None = None, idempotency: IdempotencyKey | None = None
    ) -> Job:
        """Store the job and hand it out; the same idempotency key answers the first job again.

        Raises: InvalidInputError, ConflictError (a dataset of that name exists).
        """
        new = new_job(request)
        jobs = self._stores.jobs
        if spec_of(new.kind).makes_dataset:
            dataset = _dataset_of(new)
            new = replace(new, dataset_id=dataset.id)
            job, is_new = jobs.create_with_dataset(new, dataset, actor=actor, idempotency=idempotency)
        else:
            job, is_new = jobs.create(new, actor=actor, idempotency=idempotency)
        return self.dispatch(job.id) if is_new else job

    def dispatch(self, job_id: str) -> Job:
        """Hand a pending job out. It stays pending while the broker cannot be reached."""
        if self._wake.is_away:
            return self._stores.jobs.get(job_id)
        task_id = str(uuid4())
        queued = self._stores.jobs.dispatch(job_id, task_id)
        if queued is not None:
            try:
                self._wake.send(job_id, task_id)
            except BrokerUnavailableError:
                self._stores.jobs.recall(job_id, task_id)
            else:
                return queued  # even when a worker has it already: this tells what was done
        return self._stores.jobs.get(job_id)

    def get(self, job_id: str) -> Job:
        return self._stores.jobs.get(job_id)

    def page(self, query: JobFilter) -> JobPage:
        return self._stores.jobs.page(query)

    def update(self, job_id: str, changes: Mapping[str, Any]) -> Job:
        return self._stores.jobs.update(job_id, changes)

    def pause(self, job_id: str, *, actor: str | None = None) -> Job:
        """Ask a running job to pause at the end of its epoch. Raises: ConflictError."""
        return self._stores.jobs.request(job_id, Requested.PAUSE, actor=actor)

    def resume(self, job_id: str, *, from_last_good: bool = False, actor: str | None = None) -> Job:
        """Go on after a pause, or take a pause request back.

        Raises: ConflictError, CheckpointDamagedError (the detail names the newest good checkpoint).
        """
        job = self._stores.jobs.get(job_id)
        last_good: int | None = None
        if job.status is Status.PAUSED and from_last_good:
            last_good = self._last_good(job_id)
            if not last_good:
                raise CheckpointDamagedError("There is no good checkpoint left; cancel the job and retry it.")
        elif job.status is Status.PAUSED:
            self._check_pause_checkpoint(job)
        resumed = self._stores.jobs.resume(job_id, last_good=last_good, actor=actor)
        return self.dispatch(job_id) if resumed.status is Status.PENDING else resumed

    def cancel(self, job_id: str, *, actor: str | None = None) -> Job:
        """Raises: ConflictError."""
        if self._stores.jobs.get(job_id).status is not Status.PAUSED:
            return self._stores.jobs.cancel(job_id, actor=actor)
        named = self._named_keys(job_id)
        job = self._stores.jobs.cancel(job_id, actor=actor)
        remove_keys(self._artifacts, sorted(named - self._named_keys(job_id)))  # the copy made for the pause
        return job

    def _named_keys(self, job_id: str) -> set[str]:
        kept = {saved.file.key for saved in self._stores.attempts.checkpoints(job_id) if not saved.is_deleted}
        return kept | {artifact.file.key for artifact in self._stores.history.artifacts(job_id)}

    def retry(self, job_id: str, *, actor: str | None = None) -> Job:
        """Start a failed or cancelled job again from its newest good checkpoint. Raises: ConflictError."""
        is_ended = self._stores.jobs.get(job_id).status.is_ended
        self._stores.jobs.retry(job_id, last_good=self._last_good(job_id) if is_ended else None, actor=actor)
        return self.dispatch(job_id)

    def clone(self, job_id: str, overrides: Mapping[str, Any], *, actor: str | None = None) -> Job:
        """A new job like this one; `overrides` may hold any create field, `config` is merged field by field.

        Raises: InvalidInputError.
        """
        parent = self._stores.jobs.get(job_id)
        chosen, warnings = _chosen(parent)
        fields: dict[str, Any] = {
            "kind": parent.kind,
            "job_name": f"{parent.job_name} (copy)"[:255],
            "priority": parent.priority,
            "tags": parent.tags,
            "notes": parent.notes,
            "max_restarts": parent.max_restarts,
            "gpus": asked_gpus(parent.gpus, parent.config),
            **overrides,
            "config": {**chosen, **overrides.get("config", {})},
        }
        return self.create(JobRequest(**fields, parent_job_id=parent.id, warnings=warnings), actor=actor)

    def begin_deletion(self, job_id: str, *, actor: str | None = None) -> bool:
        """Ask the job to stop. Whether a worker has still to do so: wait at most `stop_seconds` for it."""
        with suppress(ConflictError):  # it has ended
            return self._stores.jobs.cancel(job_id, actor=actor).status is Status.RUNNING
        return False

    def has_stopped(self, job_id: str) -> bool:
        try:
            return self._stores.jobs.get(job_id).status is not Status.RUNNING
        except JobNotFoundError:
            return True

    def delete(self, job_id: str) -> None:
        """Hide the job, after its lease was taken if it still runs. Its rows and files go by the sweep."""
        self._stores.jobs.take_lease(job_id)
        self._stores.jobs.delete(job_id)
        self.wake_sweep()

    def oldest(self) -> Oldest:
        return self._stores.jobs.oldest()

    def workers(self) -> list[WorkerRow]:
        return self._stores.jobs.workers()

    def newest_good_checkpoint(self, job_id: str) -> Checkpoint | None:
        """The newest checkpoint whose file is whole."""
        kept = (saved for saved in self._stores.attempts.checkpoints(job_id) if not saved.is_deleted)
        return next((saved for saved in kept if self._artifacts.is_intact(saved.file)), None)

    def _last_good(self, job_id: str) -> int:
        """The epoch of the newest good checkpoint; 0 without one."""
        good = self.newest_good_checkpoint(job_id)
        return 0 if good is None else good.epoch

    def _check_pause_checkpoint(self, job: Job) -> None:
        try:
            artifact: Artifact | None = self._stores.history.artifact(job.id, PAUSE_CHECKPOINT)
        except ArtifactNotFoundError:
            artifact = None
        if artifact is not None and self._artifacts.is_intact(artifact.file):
            return
        what = "missing" if artifact is None or self._artifacts.size(artifact.file.key) is None else "damaged"
        good = self.newest_good_checkpoint(job.id)
        way_on = (
            f'the newest good checkpoint is the one of epoch {good.epoch}: resume with {{"from": "last_good"}}.'
            if good
            else "there is no other good checkpoint: cancel the job and retry it from the start."
        )
        raise CheckpointDamagedError(f"The pause checkpoint is {what}; {way_on}")


def _chosen(job: Job) -> tuple[dict[str, Any], list[str]]:
    """The fields of its config that differ from the defaults (what is left out counts as not given), and a warning for
    each that is unknown by now."""
    model = spec_of(job.kind).config_model
    known, warnings = without_unknown(model, job.config)
    fields = model.model_fields
    return {
        name: value for name, value in known.items() if name not in fields or value != fields[name].default
    }, warnings


def _dataset_of(new: NewJob) -> Dataset:
    config = new.config
    if config["name"] == DEFAULT_DATASET:
        raise ConflictError(
            f"The name {DEFAULT_DATASET} is kept for the dataset of jobs that name none; choose another."
        )
    return Dataset(
        id=str(uuid4()),
        name=config["name"],
        description=config.get("description"),
        status=DatasetStatus.GENERATING,
        config=config,
        created_at=datetime.now(UTC),
        job_id=new.id,
    )
