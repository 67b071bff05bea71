"""HistoryStore: what was recorded of a job."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from heimdall.domain.attempt import Artifact
from heimdall.domain.errors import ArtifactNotFoundError
from heimdall.domain.events import Event, EventName
from heimdall.domain.job import Job
from heimdall.domain.records import ChangeMark, SeriesSummary
from heimdall.store.buckets import buckets_of, summaries_of
from heimdall.store.change import job_of, jobs
from heimdall.store.changes import changes_since
from heimdall.store.engine import Database, reads
from heimdall.store.files import artifact_of, find_artifact
from heimdall.store.logs import lines_of
from heimdall.store.metrics import rows_of
from heimdall.store.recent import events_at, newest_events
from heimdall.store.tables import artifacts, job_events, training_jobs

IDS_AT_ONCE = 500


class SqlHistoryStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    @reads
    def events(
        self, connection: Connection, job_id: str, *, after: int = 0, limit: int = 1000, types: Sequence[str] = ()
    ) -> list[Event]:
        log = job_events.c
        statement = select(log.seq, log.event, log.job_id, log.attempt, log.timestamp, log.data)
        statement = statement.where(log.job_id == job_id, log.seq > after).order_by(log.seq).limit(limit)
        if types:
            statement = statement.where(log.event.in_(types))
        return [Event(*row) for row in connection.execute(statement)]

    @reads
    def event_seqs(self, connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
        statement = select(jobs.id, jobs.event_seq).where(jobs.id.in_(job_ids))
        return {row.id: row.event_seq for row in connection.execute(statement)}

    @reads
    def changed_jobs(self, connection: Connection, mark: ChangeMark | None) -> tuple[dict[str, int], ChangeMark]:
        return changes_since(connection, mark)

    @reads
    def recent_events(
        self, connection: Connection, names: Sequence[EventName], *, job_ids: Sequence[str] | None = None, limit: int
    ) -> list[tuple[str, int]]:
        return newest_events(connection, names, job_ids, limit)

    @reads
    def events_at(self, connection: Connection, places: Sequence[tuple[str, int]]) -> list[Event]:
        return events_at(connection, places)

    @reads
    def states(self, connection: Connection, job_ids: Sequence[str]) -> dict[str, Job]:
        found: dict[str, Job] = {}
        for start in range(0, len(job_ids), IDS_AT_ONCE):
            statement = select(training_jobs).where(jobs.id.in_(job_ids[start : start + IDS_AT_ONCE]))
            found.update((row["id"], job_of(row)) for row in connection.execute(statement).mappings())
        return found

    @reads
    def metrics(
        self,
        connection: Connection,
        job_id: str,
        *,
        limit: int | None = 100,
        after_epoch: int | None = None,
        attempt: int | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        return rows_of(connection, job_id, limit=limit, after_epoch=after_epoch, attempt=attempt)

    @reads
    def series(self, connection: Connection, job_id: str) -> list[SeriesSummary]:
        return summaries_of(connection, job_id)

    @reads
    def buckets(
        self,
        connection: Connection,
        job_id: str,
        name: str,
        *,
        start: int | None = None,
        end: int | None = None,
        max_points: int = 1000,
    ) -> dict[str, Any]:
        return buckets_of(connection, job_id, name, (start, end), max_points)

    @reads
    def logs(
        self, connection: Connection, job_id: str, *, after: int = 0, limit: int = 1000, level: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        return lines_of(connection, job_id, after=after, limit=limit, level=level)

    @reads
    def artifacts(self, connection: Connection, job_id: str) -> list[Artifact]:
        statement = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
        return [artifact_of(row) for row in connection.execute(statement).mappings()]

    @reads
    def artifact(self, connection: Connection, job_id: str, name: str) -> Artifact:
        artifact = find_artifact(connection, job_id, name)
        if artifact is None:
            raise ArtifactNotFoundError(name)
        return artifact
