"""From the domain's objects to the wire's."""

from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import BaseModel

from heimdall.api.training.answers import ArtifactBody, CheckpointBody, JobBody, JobSummary
from heimdall.domain import job as domain
from heimdall.domain.attempt import (
    BEST_CHECKPOINT,
    LAST_CHECKPOINT,
    PAUSE_CHECKPOINT,
    Artifact,
    ArtifactType,
    Checkpoint,
    CheckpointKind,
)
from heimdall.domain.job import Job

KINDS = {
    BEST_CHECKPOINT: CheckpointKind.BEST,
    LAST_CHECKPOINT: CheckpointKind.LAST,
    PAUSE_CHECKPOINT: CheckpointKind.PAUSE,
}
Body = TypeVar("Body", bound=BaseModel)


def job_body(job: Job, websocket_root: str) -> JobBody:
    return _fill(JobBody, job, websocket_root + job.id)


def job_summary(job: domain.JobSummary, websocket_root: str) -> JobSummary:
    return _fill(JobSummary, job, websocket_root + job.id)


def _fill(model: type[Body], job: domain.JobSummary, websocket_url: str) -> Body:
    fields = {name: getattr(job, name) for name in model.model_fields if name != "websocket_url"}
    return model(**fields, websocket_url=websocket_url)


def artifact_body(artifact: Artifact) -> ArtifactBody:
    return ArtifactBody(
        name=artifact.name,
        size_bytes=artifact.file.size_bytes,
        created_at=_stored(artifact.created_at),
        artifact_type=artifact.artifact_type,
        sha256=artifact.file.sha256,
    )


def checkpoint_bodies(job: Job, artifacts: list[Artifact], checkpoints: list[Checkpoint]) -> list[CheckpointBody]:
    """Each checkpoint that has a name, newest epoch first. The pause checkpoint may be a file of its own: it holds
    the epoch the job stands at."""
    by_key = {checkpoint.file.key: checkpoint for checkpoint in checkpoints}
    bodies: list[CheckpointBody] = []
    for artifact in artifacts:
        if artifact.artifact_type is not ArtifactType.CHECKPOINT:
            continue
        saved = by_key.get(artifact.file.key)
        epoch = saved.epoch if saved else job.current_epoch
        bodies.append(
            CheckpointBody(
                name=artifact.name,
                kind=KINDS.get(artifact.name, CheckpointKind.PERIODIC),
                epoch=epoch,
                val_loss=saved.val_loss if saved else job.val_loss,
                size_bytes=artifact.file.size_bytes,
                sha256=artifact.file.sha256,
                created_at=_stored(artifact.created_at),
                is_best=epoch == job.best_epoch,
            )
        )
    return sorted(bodies, key=lambda body: (-body.epoch, body.name))


def certificate(job: Job, checkpoints: list[Checkpoint]) -> dict[str, Any]:
    """The chain of manifests, oldest first; each link names the checkpoint that this attempt went on from.

    Up to `comparable_until_epoch` the job ran on machines like its first one; `machine_changes` says what differed
    afterwards. Only up to there its bits can be compared with those of a job left alone.
    """
    ordered = sorted(checkpoints, key=lambda saved: (saved.attempt, saved.epoch))
    chain: list[dict[str, Any]] = []
    for saved in ordered:
        earlier = [link for link in chain if link["epoch"] < saved.epoch]
        chain.append(
            {
                "attempt": saved.attempt,
                "epoch": saved.epoch,
                "step": saved.step,
                "sha256": saved.file.sha256,
                "follows_sha256": earlier[-1]["sha256"] if earlier else None,
                "created_at": _stored(saved.created_at),
                "is_deleted": saved.is_deleted,
                "manifest": saved.manifest,
            }
        )
    changes = _machine_changes(chain)
    first_changed = min((change["epoch"] for change in changes), default=job.current_epoch + 1)
    return {
        "job_id": job.id,
        "kind": job.kind,
        "config": job.config,
        "manifest": job.manifest,
        "comparable_until_epoch": first_changed - 1,
        "machine_changes": changes,
        "checkpoints": chain,
    }


def _machine_changes(chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where the machine of the job's present line of epochs was not the one before: `{"epoch", "was", "is"}`."""
    line = {link["epoch"]: link["manifest"].get("machine", {}) for link in chain}  # of several attempts the newest
    changes: list[dict[str, Any]] = []
    for before, epoch in pairwise(sorted(line)):
        old, new = line[before], line[epoch]
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if names:
            was, now = ({name: machine.get(name) for name in names} for machine in (old, new))
            changes.append({"epoch": epoch, "was": was, "is": now})
    return changes


def _stored(moment: datetime | None) -> datetime:
    assert moment is not None, "the store sets created_at"
    return moment
