"""The WebSocket routes."""

from fastapi import APIRouter, WebSocket

from heimdall.api.live.everything_socket import HEARTBEAT_SECONDS, serve_everything
from heimdall.api.live.job_socket import serve_job

router = APIRouter()


@router.websocket("/ws/training/{job_id}")
async def job_socket(websocket: WebSocket, job_id: str) -> None:
    """Status and events of one job, live; with ?after=SEQ every event after that number, without gap."""
    await serve_job(websocket, websocket.app.state.hub, job_id)


@router.websocket("/ws")
async def everything_socket(websocket: WebSocket) -> None:
    """Events of all jobs, or of those that the client subscribes to."""
    await serve_everything(websocket, websocket.app.state.hub, heartbeat_seconds=HEARTBEAT_SECONDS)
