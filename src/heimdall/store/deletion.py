"""Deleting a job: its own row first, so that nobody sees it any more, then its many rows in slices."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from heimdall.domain.dataset import DatasetStatus
from heimdall.domain.errors import JobNotFoundError
from heimdall.domain.events import deleted_event
from heimdall.store.change import tell
from heimdall.store.files import insert_if_new
from heimdall.store.tables import (
    datasets,
    deletions,
    idempotency_keys,
    job_events,
    points,
    rollups,
    series,
    training_jobs,
    training_metrics,
)

SLICE = 20_000  # rows a transaction: well under the 200 ms others may have to wait


def hide_job(connection: Connection, job_id: str, now: datetime) -> None:
    """Delete the job's row, what hangs on it by foreign key, and a dataset it did not finish.

    Raises: JobNotFoundError.
    """
    unfinished = (datasets.c.job_id == job_id) & (datasets.c.status != DatasetStatus.READY)
    for dataset_id in connection.execute(select(datasets.c.id).where(unfinished)).scalars().all():
        delete_dataset(connection, dataset_id)
    if not connection.execute(delete(training_jobs).where(training_jobs.c.id == job_id)).rowcount:
        raise JobNotFoundError(job_id)
    tell(connection, [deleted_event(job_id, now)])
    connection.execute(delete(idempotency_keys).where(idempotency_keys.c.job_id == job_id))
    insert_if_new(connection, deletions, {"job_id": job_id})


def delete_dataset(connection: Connection, dataset_id: str) -> None:
    connection.execute(delete(datasets).where(datasets.c.id == dataset_id))
    insert_if_new(connection, deletions, {"job_id": f"datasets/{dataset_id}"})


def forget_deletion(connection: Connection, prefix: str) -> None:
    connection.execute(delete(deletions).where(deletions.c.job_id == prefix))


def waiting_deletions(connection: Connection) -> list[str]:
    return list(connection.execute(select(deletions.c.job_id)).scalars())


def delete_slice(connection: Connection, job_id: str) -> bool:
    """Delete some of the rows of a hidden job; False when none are left."""
    if _delete_first(connection, job_events, job_events.c.job_id == job_id, job_events.c.seq):
        return True
    mine = training_metrics.c.training_job_id == job_id
    if _delete_first(connection, training_metrics, mine, training_metrics.c.epoch):
        return True
    series_id = connection.execute(select(func.min(series.c.id)).where(series.c.job_id == job_id)).scalar_one()
    if series_id is None:
        return False
    if not _delete_first(connection, points, points.c.series_id == series_id, points.c.step) and not _delete_first(
        connection, rollups, rollups.c.series_id == series_id, rollups.c.bucket
    ):
        connection.execute(delete(series).where(series.c.id == series_id))
    return True


def _delete_first(connection: Connection, table: Table, mine: ColumnElement[bool], order: ColumnElement[int]) -> bool:
    """Delete the first rows in `order`; whether there were any."""
    first = select(order.label("place")).where(mine).order_by(order).limit(SLICE).subquery()
    last = connection.execute(select(func.max(first.c.place))).scalar_one()
    if last is None:
        return False
    connection.execute(delete(table).where(mine, order <= last))
    return True
