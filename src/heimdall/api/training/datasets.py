"""Synthetic data: generate it, look at it, approve samples, delete it."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

from heimdall.api.access import Actor
from heimdall.api.json_body import StrictRoute
from heimdall.api.openapi import problems
from heimdall.api.services import Services
from heimdall.api.slow import Slow
from heimdall.api.training.answers import ApprovalAnswer, DatasetBody, DatasetPage, GenerationStarted, SamplePage
from heimdall.api.training.parameters import DatasetId, IdempotencyHeader, Offset
from heimdall.api.training.requests import Approval, idempotency_key
from heimdall.domain.dataset import Dataset

router = APIRouter(prefix="/synthetic", tags=["synthetic data"], route_class=StrictRoute)
CONFIG_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SyntheticConfig"}}},
    }
}


@router.post("/generate", status_code=202, responses=problems(409), openapi_extra=CONFIG_BODY)
def generate_dataset(
    request: Request,
    body: Annotated[dict[str, Any], Body()],
    services: Services,
    actor: Actor,
    idempotency: IdempotencyHeader = None,
) -> GenerationStarted:
    """Start a job that makes a dataset."""
    job, dataset = services.datasets.generate(body, actor=actor, idempotency=idempotency_key(idempotency, body))
    return GenerationStarted(
        job_id=job.id,
        dataset_id=dataset.id,
        status=job.status,
        created_at=job.created_at,
        status_url=f"{request.scope.get('root_path', '')}/api/v1/training/jobs/{job.id}",
    )


@router.get("/datasets")
def list_datasets(
    services: Services, limit: Annotated[int, Query(ge=1, le=500)] = 50, offset: Offset = 0
) -> DatasetPage:
    datasets, total = services.datasets.page(limit=limit, offset=offset)
    return DatasetPage(datasets=[_dataset_body(dataset) for dataset in datasets], total=total)


@router.get("/datasets/{dataset_id}", responses=problems(404))
def get_dataset(dataset_id: DatasetId, services: Services) -> DatasetBody:
    return _dataset_body(services.datasets.get(dataset_id))


@router.delete("/datasets/{dataset_id}", status_code=204, responses=problems(404, 409))
def delete_dataset(dataset_id: DatasetId, services: Services) -> None:
    services.datasets.delete(dataset_id)


@router.get("/datasets/{dataset_id}/samples", responses=problems(404, 409))
async def list_samples(
    dataset_id: DatasetId,
    services: Services,
    slow: Slow,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> SamplePage:
    return SamplePage(**await slow.checks.run(services.datasets.samples, dataset_id, limit=limit, offset=offset))


@router.patch("/datasets/{dataset_id}/samples", responses=problems(404, 409))
def approve_samples(dataset_id: DatasetId, body: Approval, services: Services) -> ApprovalAnswer:
    services.datasets.set_approved(dataset_id, body.indexes, approved=body.approved)
    return ApprovalAnswer(dataset_id=dataset_id, num_changed=len(set(body.indexes)), approved=body.approved)


def _dataset_body(dataset: Dataset) -> DatasetBody:
    return DatasetBody(**{name: getattr(dataset, name) for name in DatasetBody.model_fields})
