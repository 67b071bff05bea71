"""Whether this process lives, and whether it can serve."""

import time

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from heimdall.api import prometheus
from heimdall.api.errors import problem
from heimdall.api.openapi import problems
from heimdall.api.services import Services

READINESS_SECONDS = 0.5  # how old an answer may be
router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: str
    service: str
    version: str


class Ready(BaseModel):
    """`down` names the parts that are away: with status `degraded` the process serves, with less."""

    status: str
    down: list[str]


class Version(BaseModel):
    version: str


@router.get("/health")
async def health(request: Request) -> Health:
    return Health(status="healthy", service="training-svc", version=request.app.state.options.version)


@router.get("/healthz")
async def healthz(request: Request) -> Health:
    return await health(request)


@router.get("/readyz", response_model=Ready, responses=problems(503))
async def readyz(request: Request) -> Ready | Response:
    """Open to everybody, so many who ask at once share one check."""
    readiness = await request.app.state.readiness.since(time.monotonic() - READINESS_SECONDS)
    if readiness.down:
        detail = f"This process cannot serve: {', '.join(readiness.down)} cannot be used."
        return problem(503, detail, code="unavailable", instance=request.url.path, headers={"Retry-After": "1"})
    status = "degraded" if readiness.degraded else "ready"
    return Ready(status=status, down=readiness.degraded)


@router.get("/version")
async def version(request: Request) -> Version:
    return Version(version=request.app.state.options.version)


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
def metrics(request: Request, services: Services) -> Response:
    return Response(prometheus.render(services, request.app.state.hub), media_type=prometheus.MEDIA_TYPE)
