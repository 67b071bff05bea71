"""The files of a job: list them, download them whole or in part."""

from collections.abc import Iterator
from itertools import chain
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from heimdall.api.json_body import StrictRoute
from heimdall.api.openapi import problems
from heimdall.api.services import ApiServices, Services
from heimdall.api.slow import Slow
from heimdall.api.training.answers import ArtifactList, CheckpointBody
from heimdall.api.training.parameters import JobId
from heimdall.api.training.ranges import ByteRange, UnsatisfiableRangeError, requested_range
from heimdall.api.training.translate import artifact_body, certificate, checkpoint_bodies
from heimdall.domain.attempt import Artifact
from heimdall.domain.errors import ArtifactNotFoundError, BadPathError

router = APIRouter(tags=["artifacts"], route_class=StrictRoute)
FILE_CONTENT = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    **problems(404),
    200: {"description": "The file.", **FILE_CONTENT},
    206: {"description": "The part that `Range` asks for.", **FILE_CONTENT},
    304: {"description": "The file is the one that `If-None-Match` names."},
    416: {"description": "The file is shorter than `Range` begins."},
}


@router.get("/jobs/{job_id}/checkpoints", responses=problems(404))
def list_checkpoints(job_id: JobId, services: Services) -> list[CheckpointBody]:
    job = services.jobs.get(job_id)
    return checkpoint_bodies(job, services.history.artifacts(job_id), services.attempts.checkpoints(job_id))


@router.get("/jobs/{job_id}/certificate", responses=problems(404))
def get_certificate(job_id: JobId, services: Services) -> dict[str, Any]:
    """The manifests of all checkpoints, across pauses and attempts."""
    return certificate(services.jobs.get(job_id), services.attempts.checkpoints(job_id))


@router.get("/jobs/{job_id}/artifacts", responses=problems(404))
def list_artifacts(job_id: JobId, services: Services) -> ArtifactList:
    services.jobs.get(job_id)
    found = [artifact_body(artifact) for artifact in services.history.artifacts(job_id)]
    return ArtifactList(artifacts=found, total_count=len(found))


@router.get("/jobs/{job_id}/artifacts/{name:path}", response_class=StreamingResponse, responses=FILE_ANSWERS)
async def get_artifact(request: Request, job_id: JobId, name: str, services: Services, slow: Slow) -> Response:
    """The file, streamed."""
    artifact, headers = await run_sync(_find, services, job_id, name)
    if _is_known(request.headers, headers["ETag"]):
        return Response(status_code=304, headers={"ETag": headers["ETag"]})
    size = artifact.file.size_bytes
    try:
        part = requested_range(request.headers, size, headers["ETag"])
    except UnsatisfiableRangeError:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    if part is None:
        part = ByteRange(0, size)
    else:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    headers["Content-Length"] = str(part.stop - part.start)
    status = 206 if "Content-Range" in headers else 200
    chunks = slow.files.iterate(await slow.files.run(_chunks, services, artifact, part))
    return StreamingResponse(chunks, status_code=status, headers=headers)


@router.head("/jobs/{job_id}/artifacts/{name:path}", response_class=Response, responses=FILE_ANSWERS)
async def head_artifact(request: Request, job_id: JobId, name: str, services: Services, slow: Slow) -> Response:
    artifact, headers = await run_sync(_find, services, job_id, name)
    if _is_known(request.headers, headers["ETag"]):
        return Response(status_code=304, headers={"ETag": headers["ETag"]})
    if await slow.files.run(services.artifacts.size, artifact.file.key) is None:
        raise ArtifactNotFoundError(name)
    return Response(headers={**headers, "Content-Length": str(artifact.file.size_bytes)})


def _find(services: ApiServices, job_id: str, name: str) -> tuple[Artifact, dict[str, str]]:
    """Raises: JobNotFoundError, BadPathError, ArtifactNotFoundError."""
    services.jobs.get(job_id)
    if name.startswith("/") or "\\" in name or {".", ".."} & set(name.split("/")):
        raise BadPathError("The path leaves the job's folder; use the names that the artifact list shows.")
    artifact = services.history.artifact(job_id, name)
    file_name = quote(name.rsplit("/", maxsplit=1)[-1])
    headers = {
        "Content-Type": guess_type(name)[0] or "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=utf-8''{file_name}",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        "ETag": f'"{artifact.file.sha256}"',
    }
    return artifact, headers


def _chunks(services: ApiServices, artifact: Artifact, part: ByteRange) -> Iterator[bytes]:
    """Reads the first chunk at once, so that a file that is gone is an answer and not a broken download."""
    try:
        chunks = services.artifacts.read(artifact.file.key, part.start, part.stop)
        first = next(chunks, b"")
    except ArtifactNotFoundError:
        raise ArtifactNotFoundError(artifact.name) from None  # the key is the server's own affair
    return chain([first], chunks)


def _is_known(headers: Headers, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known
