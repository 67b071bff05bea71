"""Checkpoints and artifacts: rows that name write-once keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from heimdall.domain.attempt import PAUSE_CHECKPOINT, Artifact, ArtifactType, Checkpoint, StoredFile
from heimdall.store.tables import artifacts, checkpoints


def upsert(connection: Connection, table: Table, row: Mapping[str, Any], *, keys: list[str]) -> None:
    """Insert the row, or overwrite the one with the same keys."""
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table).values(**row)
        statement: Insert = lite.on_conflict_do_update(index_elements=keys, set_=dict(lite.excluded))
    else:
        full = postgresql.insert(table).values(**row)
        statement = full.on_conflict_do_update(index_elements=keys, set_=dict(full.excluded))
    connection.execute(statement)


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row unless one with the same unique key is there; whether it was inserted."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(**row).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement).first() is not None


def put_artifact(connection: Connection, job_id: str, artifact: Artifact, now: datetime) -> None:
    row = {
        "job_id": job_id,
        "name": artifact.name,
        "key": artifact.file.key,
        "size_bytes": artifact.file.size_bytes,
        "sha256": artifact.file.sha256,
        "artifact_type": artifact.artifact_type,
        "created_at": now,
    }
    upsert(connection, artifacts, row, keys=["job_id", "name"])


def drop_artifact(connection: Connection, job_id: str, name: str) -> None:
    connection.execute(delete(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.name == name))


def put_pause_checkpoint(connection: Connection, job_id: str, file: StoredFile, now: datetime) -> None:
    artifact = Artifact(name=PAUSE_CHECKPOINT, file=file, artifact_type=ArtifactType.CHECKPOINT)
    put_artifact(connection, job_id, artifact, now)


def find_artifact(connection: Connection, job_id: str, name: str) -> Artifact | None:
    statement = select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.name == name)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else artifact_of(row)


def artifact_of(row: RowMapping) -> Artifact:
    return Artifact(
        name=row["name"], file=_file_of(row), artifact_type=row["artifact_type"], created_at=row["created_at"]
    )


def checkpoint_of(row: RowMapping) -> Checkpoint:
    return Checkpoint(
        attempt=row["attempt"],
        epoch=row["epoch"],
        step=row["step"],
        file=_file_of(row),
        val_loss=row["val_loss"],
        manifest=row["manifest"],
        created_at=row["created_at"],
        is_deleted=row["is_deleted"],
    )


def newest_checkpoint(connection: Connection, job_id: str) -> Checkpoint | None:
    """The newest one whose file has not been deleted."""
    statement = (
        select(checkpoints)
        .where(checkpoints.c.job_id == job_id, checkpoints.c.is_deleted.is_(False))
        .order_by(checkpoints.c.attempt.desc(), checkpoints.c.epoch.desc())
        .limit(1)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else checkpoint_of(row)


def _file_of(row: RowMapping) -> StoredFile:
    return StoredFile(key=row["key"], size_bytes=row["size_bytes"], sha256=row["sha256"])
