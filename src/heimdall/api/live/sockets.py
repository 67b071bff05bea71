"""The WebSocket routes."""

from fastapi import APIRouter, WebSocket

from heimdall.api.live.everything_socket import HEARTBEAT_SECONDS, serve_everything
from heimdall.api.live.job_socket import serve_job

router = APIRouter()


@router.websocket("/ws/training/{job_id}")
async def job_socket(websocket: WebSocket, job_id: str) -> None:
    await serve_job(websocket, websocket.app.state.hub, job_id)


@router.websocket("/ws")
async def everything_socket(websocket: WebSocket) -> None:
    await serve_everything(websocket, websocket.app.state.hub, heartbeat_seconds=HEARTBEAT_SECONDS)
