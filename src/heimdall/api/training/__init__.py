"""The training surface."""

from fastapi import APIRouter

from heimdall.api.json_body import StrictRoute
from heimdall.api.training import actions, artifacts, datasets, history, jobs, trainers

router = APIRouter(route_class=StrictRoute)
for part in (jobs, actions, history, artifacts, datasets, trainers):
    router.include_router(part.router)
