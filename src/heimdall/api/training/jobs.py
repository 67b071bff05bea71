"""Create, list, look at, change and delete jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from heimdall.api.access import Actor
from heimdall.api.json_body import StrictRoute
from heimdall.api.openapi import problems
from heimdall.api.services import Services
from heimdall.api.slow import Slow
from heimdall.api.training.answers import JobBody, JobDetails, JobPageBody
from heimdall.api.training.parameters import (
    IdempotencyHeader,
    JobId,
    Offset,
    SortName,
    StatusName,
    WebsocketRoot,
)
from heimdall.api.training.requests import JobChanges, JobCreate, idempotency_key
from heimdall.api.training.translate import job_body, job_summary
from heimdall.domain.job import Status
from heimdall.domain.records import JobFilter

NUM_RECENT_EPOCHS = 10
router = APIRouter(tags=["jobs"], route_class=StrictRoute)


@router.post("/jobs", status_code=201, responses=problems(409))
def create_job(
    body: JobCreate, services: Services, root: WebsocketRoot, actor: Actor, idempotency: IdempotencyHeader = None
) -> JobBody:
    """Store a job and hand it out."""
    request = body.to_request(services.specs())
    key = idempotency_key(idempotency, body.model_dump(exclude_unset=True))
    return job_body(services.jobs.create(request, actor=actor, idempotency=key), root)


@router.get("/jobs")
def list_jobs(
    services: Services,
    root: WebsocketRoot,
    *,
    status: Annotated[list[StatusName], Query(default_factory=list, description="May repeat.")],
    kind: str | None = None,
    tag: Annotated[
        list[str], Query(default_factory=list, max_length=50, description="May repeat: jobs that have all of them.")
    ],
    q: Annotated[str | None, Query(max_length=1_000, description="Part of name, notes or id.")] = None,
    sort: SortName = "-created_at",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Offset = 0,
    cursor: Annotated[str | None, Query(max_length=2_000, description="`next_cursor` of the page before.")] = None,
) -> JobPageBody:
    page = services.jobs.page(
        JobFilter(
            statuses=[Status(name) for name in status],
            kind=kind,
            tags=tag,
            q=q,
            sort=sort,
            limit=limit,
            offset=offset,
            cursor=cursor,
        )
    )
    jobs = [job_summary(job, root) for job in page.jobs]
    return JobPageBody(jobs=jobs, total=page.total, next_cursor=page.next_cursor)


@router.get("/jobs/{job_id}", responses=problems(404))
def get_job(job_id: JobId, services: Services, root: WebsocketRoot) -> JobDetails:
    body = job_body(services.jobs.get(job_id), root)
    rows, _ = services.history.metrics(job_id, limit=NUM_RECENT_EPOCHS)
    return JobDetails(job=body, recent_metrics=rows[::-1], websocket_url=body.websocket_url)


@router.patch("/jobs/{job_id}", responses=problems(404, 409))
def update_job(job_id: JobId, body: JobChanges, services: Services, root: WebsocketRoot) -> JobBody:
    return job_body(services.jobs.update(job_id, body.given()), root)


@router.delete("/jobs/{job_id}", status_code=204, responses=problems(404))
async def delete_job(request: Request, job_id: JobId, services: Services, slow: Slow, actor: Actor) -> None:
    """Stop the job if it runs, then remove everything of it."""
    await slow.delete(services.jobs, job_id, actor)
    request.app.state.hub.forget(job_id)
