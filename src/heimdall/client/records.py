"""Routes that read what a job left behind: metrics, series, logs, events, checkpoints, artifacts."""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from heimdall.client.download import save
from heimdall.client.errors import DownloadError
from heimdall.client.following import follow
from heimdall.client.jobs import ROOT
from heimdall.client.shapes import (
    ArtifactInfo,
    CheckpointInfo,
    EpochRow,
    Event,
    EventPage,
    LogPage,
    SeriesBuckets,
    SeriesSummary,
)
from heimdall.client.transport import Transport
from heimdall.domain.errors import ArtifactNotFoundError


class RecordRoutes:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def metrics(
        self, job_id: str, *, limit: int | None = None, after_epoch: int | None = None, attempt: int | None = None
    ) -> list[EpochRow]:
        """The newest `limit` epochs, oldest first."""
        return self._transport.get(f"{ROOT}/{job_id}/metrics", limit=limit, after_epoch=after_epoch, attempt=attempt)

    def save_metrics(self, job_id: str, path: Path, *, file_format: Literal["csv", "parquet"] = "csv") -> None:
        """All epochs as a file."""
        with self._transport.reading(f"{ROOT}/{job_id}/metrics", format=file_format) as response:
            save(response, path)

    def metrics_csv(self, job_id: str) -> str:
        return self._transport.send("GET", f"{ROOT}/{job_id}/metrics", params={"format": "csv"}).text

    def series(self, job_id: str) -> list[SeriesSummary]:
        return self._transport.get(f"{ROOT}/{job_id}/series")

    def buckets(
        self,
        job_id: str,
        name: str,
        *,
        start: int | None = None,
        end: int | None = None,
        max_points: int | None = None,
    ) -> SeriesBuckets:
        """One series, thinned to `max_points` buckets."""
        path = f"{ROOT}/{job_id}/series/{quote(name)}"
        return self._transport.get(path, start=start, end=end, max_points=max_points)

    def logs(
        self, job_id: str, *, after: int | None = None, limit: int | None = None, level: str | None = None
    ) -> LogPage:
        return self._transport.get(f"{ROOT}/{job_id}/logs", after=after, limit=limit, level=level)

    def log_text(self, job_id: str, *, level: str | None = None) -> Iterator[str]:
        """All lines as text, while they arrive."""
        with self._transport.reading(f"{ROOT}/{job_id}/logs", format="text", level=level) as response:
            yield from response.iter_lines()

    def events(
        self, job_id: str, *, after: int | None = None, limit: int | None = None, types: Sequence[str] | None = None
    ) -> EventPage:
        names = ",".join(types) if types else None
        return self._transport.get(f"{ROOT}/{job_id}/events", after=after, limit=limit, types=names)

    def follow(
        self,
        job_id: str,
        *,
        after: int = 0,
        types: Sequence[str] | None = None,
        patience_seconds: float = 60.0,
        on_connection: Callable[[float | None], None] | None = None,
    ) -> Generator[Event]:
        """Events after number `after`, each once and in order, until the job has ended.

        Comes back by itself after a broken connection; gives up with ServerUnreachableError when nobody has
        answered for `patience_seconds`. A paused job is waited for. `on_connection` is called with the seconds left
        until then each time the server does not answer, and with None once it answers again.
        """
        return follow(
            self._transport,
            f"{ROOT}/{job_id}/events/stream",
            after=after,
            types=types,
            patience_seconds=patience_seconds,
            on_connection=on_connection,
        )

    def checkpoints(self, job_id: str) -> list[CheckpointInfo]:
        return self._transport.get(f"{ROOT}/{job_id}/checkpoints")

    def certificate(self, job_id: str) -> dict[str, Any]:
        return self._transport.get(f"{ROOT}/{job_id}/certificate")

    def artifacts(self, job_id: str) -> list[ArtifactInfo]:
        return self._transport.get(f"{ROOT}/{job_id}/artifacts")["artifacts"]

    def download(self, job_id: str, name: str, path: Path) -> ArtifactInfo:
        """Save an artifact at `path`, which appears only when its checksum is right.

        Raises: ArtifactNotFoundError, DownloadError, OSError (naming `path`).
        """
        listed = {artifact["name"]: artifact for artifact in self.artifacts(job_id)}
        if name not in listed:
            raise ArtifactNotFoundError(name)
        artifact = listed[name]
        with self._transport.reading(f"{ROOT}/{job_id}/artifacts/{quote(name)}", can_be_page=True) as response:
            try:
                save(response, path, sha256=artifact["sha256"])
            except DownloadError as error:
                raise DownloadError(f"{name}: {error}") from error
        return artifact
