"""Entry to a server: `HeimdallClient("http://127.0.0.1:8001").jobs.create(...)`."""

from types import TracebackType
from typing import Any, Self

from heimdall.client.datasets import DatasetRoutes
from heimdall.client.jobs import JobRoutes
from heimdall.client.records import RecordRoutes
from heimdall.client.shapes import TrainerInfo
from heimdall.client.transport import Transport

DEFAULT_URL = "http://127.0.0.1:8001"


class HeimdallClient:
    """Talks to one server. A method is one route; every failure is a `HeimdallError` with the server's sentence.

    `jobs` creates and steers jobs, `records` reads what they left behind, `datasets` holds the data they train on.
    """

    def __init__(self, base_url: str = DEFAULT_URL, *, token: str | None = None, timeout_seconds: float = 30.0) -> None:
        self._transport = Transport(base_url, token=token, timeout_seconds=timeout_seconds)
        self.jobs = JobRoutes(self._transport)
        self.records = RecordRoutes(self._transport)
        self.datasets = DatasetRoutes(self._transport)

    @property
    def base_url(self) -> str:
        return self._transport.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def trainers(self) -> list[TrainerInfo]:
        return self._transport.get("/api/v1/training/trainers")

    def workers(self) -> list[dict[str, Any]]:
        return self._transport.get("/api/v1/training/workers")

    def health(self) -> dict[str, Any]:
        return self._transport.get("/health")

    def readiness(self) -> dict[str, Any]:
        """Raises: UnavailableError when the server cannot serve."""
        return self._transport.get("/readyz")

    def version(self) -> dict[str, Any]:
        return self._transport.get("/version")

    def prometheus(self) -> str:
        return self._transport.send("GET", "/metrics").text
