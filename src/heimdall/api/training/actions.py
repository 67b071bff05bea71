"""What can be asked of a job."""

from fastapi import APIRouter

from heimdall.api.access import Actor
from heimdall.api.json_body import StrictRoute
from heimdall.api.openapi import problems
from heimdall.api.services import Services
from heimdall.api.slow import Slow
from heimdall.api.training.answers import CancelAnswer, JobBody, PauseAnswer, ResumeAnswer
from heimdall.api.training.parameters import JobId, WebsocketRoot
from heimdall.api.training.requests import JobOverrides, NoFields, ResumeFrom
from heimdall.api.training.translate import job_body
from heimdall.domain.job import Job, Status

router = APIRouter(tags=["actions"], route_class=StrictRoute)


@router.post("/jobs/{job_id}/pause", responses=problems(404, 409))
def pause_job(job_id: JobId, services: Services, actor: Actor, _: NoFields | None = None) -> PauseAnswer:
    job = services.jobs.pause(job_id, actor=actor)
    return PauseAnswer(
        job_id=job.id,
        status=job.status,
        requested=job.requested,
        current_epoch=job.current_epoch,
        total_epochs=job.total_epochs,
        message=(
            "The job is paused."
            if job.status is Status.PAUSED
            else "The job pauses when the current epoch is complete."
        ),
    )


@router.post("/jobs/{job_id}/resume", responses=problems(404, 409))
async def resume_job(
    job_id: JobId, services: Services, slow: Slow, actor: Actor, body: ResumeFrom | None = None
) -> ResumeAnswer:
    """Go on after a pause, or take back the request to pause."""
    from_last_good = body is not None and body.from_ == "last_good"
    job = await slow.checks.run(services.jobs.resume, job_id, from_last_good=from_last_good, actor=actor)
    if job.status is Status.RUNNING:
        return _resumed(job, "The request to pause is taken back; the job runs on.")
    return _resumed(job, f"The job continues with epoch {_next_epoch(job)} as soon as a slot is free.")


@router.post("/jobs/{job_id}/cancel", responses=problems(404, 409))
def cancel_job(job_id: JobId, services: Services, actor: Actor, _: NoFields | None = None) -> CancelAnswer:
    job = services.jobs.cancel(job_id, actor=actor)
    is_running = job.status is Status.RUNNING
    message = "The job stops at the next batch." if is_running else "The job is cancelled."
    return CancelAnswer(job_id=job.id, status=job.status, requested=job.requested, message=message)


@router.post("/jobs/{job_id}/retry", responses=problems(404, 409))
async def retry_job(
    job_id: JobId, services: Services, slow: Slow, actor: Actor, _: NoFields | None = None
) -> ResumeAnswer:
    """Start a failed or cancelled job again from its newest good checkpoint, or from the start."""
    job = await slow.checks.run(services.jobs.retry, job_id, actor=actor)
    return _resumed(job, f"The job starts again with epoch {_next_epoch(job)} as soon as a slot is free.")


@router.post("/jobs/{job_id}/clone", status_code=201, responses=problems(404, 409))
def clone_job(
    job_id: JobId, services: Services, root: WebsocketRoot, actor: Actor, body: JobOverrides | None = None
) -> JobBody:
    """A new job with the same config."""
    return job_body(services.jobs.clone(job_id, body.given() if body else {}, actor=actor), root)


def _resumed(job: Job, message: str) -> ResumeAnswer:
    return ResumeAnswer(
        job_id=job.id,
        status=job.status,
        celery_task_id=job.celery_task_id,
        resume_epoch=_next_epoch(job),
        total_epochs=job.total_epochs,
        message=message,
    )


def _next_epoch(job: Job) -> int:
    return min(job.current_epoch + 1, job.total_epochs)
