"""What a finished job leaves behind that must not depend on what happened to it."""

import asyncio
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import websockets

from heimdall.trainers.comparison import first_difference
from tests.e2e.service import RunningService

RUN_DEPENDENT = {"attempt", "timestamp", "duration_seconds"}  # of an epoch's row
# Which statuses an event may bring about, given the one before it.
FOLLOWS = {
    "pending": {"queued", "cancelled"},
    "queued": {"running", "pending", "cancelled"},
    "running": {"running", "completed", "failed", "paused", "cancelled", "pending"},
    "paused": {"pending", "cancelled"},
    "completed": set[str](),
    "failed": {"pending"},
    "cancelled": {"pending"},
}


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one job: compared as a whole, files byte for byte where their format allows it."""

    status: str
    reason: str
    epoch: int
    best_epoch: int
    best_val_loss: float
    rows: list[dict[str, Any]]
    parts: list[dict[str, str]]  # sha256 of weights, optimizer state …, epoch by epoch


def record(service: RunningService, job_id: str) -> Record:
    job = service.job(job_id)
    rows = service.api.get(f"/jobs/{job_id}/metrics", params={"limit": 1000}).json()
    links = service.api.get(f"/jobs/{job_id}/certificate").json()["checkpoints"]
    by_epoch = {link["epoch"]: link["manifest"]["sha256"] for link in links}
    return Record(
        status=job["status"],
        reason=job["reason"],
        epoch=job["current_epoch"],
        best_epoch=job["best_epoch"],
        best_val_loss=job["best_val_loss"],
        rows=[{name: value for name, value in row.items() if name not in RUN_DEPENDENT} for row in rows],
        parts=[by_epoch[epoch] for epoch in sorted(by_epoch)],
    )


def download(service: RunningService, job_id: str, name: str, folder: Path) -> Path:
    path = folder / f"{job_id}-{Path(name).name}"
    path.write_bytes(service.api.get(f"/jobs/{job_id}/artifacts/{name}").raise_for_status().content)
    return path


def assert_same_files(service: RunningService, ours: str, reference: str, folder: Path) -> None:
    for name in ("checkpoints/last.pth", "checkpoints/best_model.pth"):
        files = (download(service, job_id, name, folder) for job_id in (ours, reference))
        assert first_difference(*files) is None, name
    pairs = [download(service, job_id, "predictions.parquet", folder).read_bytes() for job_id in (ours, reference)]
    assert pairs[0] == pairs[1], "predictions.parquet"


def assert_whole_log(service: RunningService, job_id: str) -> None:
    """No hole, no double, statuses along the lifecycle table, and every stream replays the same list."""
    events = service.events(job_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    statuses = [event["data"]["status"] for event in events if "status" in event["data"]]
    for before, after in pairwise(statuses):
        assert after == before or after in FOLLOWS[before], (before, after)
    assert server_sent(service, job_id) == events
    assert asyncio.run(socket_sent(service, job_id)) == events


def server_sent(service: RunningService, job_id: str) -> list[dict[str, Any]]:
    url = f"{service.url}/api/v1/training/jobs/{job_id}/events/stream?after=0"
    with httpx2.stream("GET", url, timeout=30) as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


async def socket_sent(service: RunningService, job_id: str) -> list[dict[str, Any]]:
    url = f"ws://127.0.0.1:{service.port}/ws/training/{job_id}?after=0"
    async with websockets.connect(url) as connection:
        messages = [json.loads(text) async for text in connection]
    return [message for message in messages if message["event"] not in {"connected", "training_status"}]
