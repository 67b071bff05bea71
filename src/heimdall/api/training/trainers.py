"""What can be trained here, and by whom."""

import json

from fastapi import APIRouter
from starlette.responses import Response

from heimdall.api.json_body import StrictRoute
from heimdall.api.services import Services
from heimdall.api.training.answers import TrainerBody, WorkerBody

router = APIRouter(tags=["trainers"], route_class=StrictRoute)


LEFT_OUT = "X-Heimdall-Left-Out"
MAX_HEADER_CHARS = 4000


@router.get("/trainers")
def list_trainers(services: Services, response: Response) -> list[TrainerBody]:
    """Trainers that are installed and cannot be used stand, with the reason, in the header `X-Heimdall-Left-Out`: JSON,
    an object by entry point."""
    left_out = dict(services.left_out())
    while len(text := json.dumps(left_out)) > MAX_HEADER_CHARS:
        left_out.popitem()
    if left_out:
        response.headers[LEFT_OUT] = text
    return [
        TrainerBody(
            kind=spec.kind,
            title=spec.title,
            description=spec.description,
            config_schema=spec.config_model.model_json_schema(),
            best_metric=spec.best_metric,
        )
        for spec in services.specs().values()
    ]


@router.get("/workers")
def list_workers(services: Services) -> list[WorkerBody]:
    """Slots loops that were heard lately."""
    return [
        WorkerBody(
            name=row.name,
            host=row.host,
            slots=row.slots,
            devices=row.devices,
            running_jobs=row.running,
            last_heard_at=row.seen_at,
        )
        for row in services.jobs.workers()
    ]
