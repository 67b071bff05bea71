"""Parameters that many routes share."""

import re
from typing import Annotated, Literal

from fastapi import Depends, Header, Path, Query
from fastapi.requests import HTTPConnection

from heimdall.api.live.selection import MAX_NUMBER
from heimdall.domain.errors import DatasetNotFoundError, JobNotFoundError

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


async def known_job_id(job_id: Annotated[str, Path(description="Id of a job.")]) -> str:
    """An id that cannot exist is not found, like one that does not."""
    if not UUID_TEXT.fullmatch(job_id):
        raise JobNotFoundError(job_id)
    return job_id.lower()


async def known_dataset_id(dataset_id: Annotated[str, Path(description="Id of a dataset.")]) -> str:
    if not UUID_TEXT.fullmatch(dataset_id):
        raise DatasetNotFoundError(dataset_id)
    return dataset_id.lower()


async def websocket_root(connection: HTTPConnection) -> str:
    """Where sockets of jobs are, as the client sees this server."""
    url = connection.base_url
    return f"{WEBSOCKET_SCHEMES.get(url.scheme, url.scheme)}://{url.netloc}{url.path}ws/training/"


JobId = Annotated[str, Depends(known_job_id)]
DatasetId = Annotated[str, Depends(known_dataset_id)]
WebsocketRoot = Annotated[str, Depends(websocket_root)]
Offset = Annotated[int, Query(ge=0, le=MAX_NUMBER)]
After = Annotated[int, Query(ge=0, le=MAX_NUMBER, description="Only what has a larger number.")]
Types = Annotated[
    list[str], Query(default_factory=list, description="Only these events: comma-separated, or repeated.")
]
IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key and body within 24 hours answer the same job and create nothing.",
    ),
]
StatusName = Literal["pending", "queued", "running", "paused", "completed", "failed", "cancelled"]
SortName = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "job_name",
    "-job_name",
    "status",
    "-status",
    "val_loss",
    "-val_loss",
    "priority",
    "-priority",
]
