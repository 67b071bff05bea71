"""Reading epoch rows, flat, as `GET /jobs/{id}/metrics` shows them."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, false, func, or_, select

from heimdall.store.batches import METRIC_COLUMNS
from heimdall.store.tables import training_jobs, training_metrics
from heimdall.store.visible import END, Window, visible_windows

rows = training_metrics.c
JOB_COLUMNS = tuple(name for name in METRIC_COLUMNS if name in training_jobs.c)


def rows_of(
    connection: Connection, job_id: str, *, limit: int | None, after_epoch: int | None, attempt: int | None
) -> tuple[list[dict[str, Any]], int]:
    """The newest `limit` rows, oldest first, and how many there are; of one attempt, or the visible ones of all."""
    shown = rows.attempt == attempt if attempt is not None else _visible(connection, job_id)
    conditions = [rows.training_job_id == job_id, shown]
    if after_epoch is not None:
        conditions.append(rows.epoch > after_epoch)
    total = connection.execute(select(func.count()).select_from(training_metrics).where(*conditions)).scalar_one()
    newest = select(training_metrics).where(*conditions).order_by(rows.epoch.desc(), rows.attempt.desc())
    found = connection.execute(newest.limit(limit)).mappings().all()
    return [_flat(row) for row in reversed(found)], total


def newest_figures(connection: Connection, job_id: str) -> dict[str, Any]:
    """The columns of a job that hold its newest visible epoch's metrics; empty ones before the first."""
    newest = select(training_metrics).where(rows.training_job_id == job_id, _visible(connection, job_id))
    row = connection.execute(newest.order_by(rows.epoch.desc()).limit(1)).mappings().first()
    if row is None:
        return {**dict.fromkeys(JOB_COLUMNS), "metrics": {}, "non_finite": {}}
    given = {name: row[name] for name in METRIC_COLUMNS if row[name] is not None or name in row["non_finite"]}
    return {
        **{name: row[name] for name in JOB_COLUMNS},
        "metrics": {**given, **row["metrics"]},
        "non_finite": row["non_finite"],
    }


def _visible(connection: Connection, job_id: str) -> ColumnElement[bool]:
    return or_(false(), *(_inside(window) for window in visible_windows(connection, job_id)))


def _inside(window: Window) -> ColumnElement[bool]:
    conditions = [rows.attempt == window.attempt]
    if window.first_epoch > 0:
        conditions.append(rows.epoch >= window.first_epoch)
    if window.end_epoch < END:
        conditions.append(rows.epoch < window.end_epoch)
    return and_(*conditions)


def _flat(row: RowMapping) -> dict[str, Any]:
    own = {
        "epoch": row["epoch"],
        "attempt": row["attempt"],
        **{name: row[name] for name in METRIC_COLUMNS},
        "timestamp": row["timestamp"],
        "duration_seconds": row["duration_seconds"],
    }
    if row["non_finite"]:
        own["non_finite"] = row["non_finite"]
    # A metric never takes the place of a field, whatever an older release stored.
    others = {name: value for name, value in row["metrics"].items() if name not in own and name != "non_finite"}
    return {**own, **others}
