"""Figures for Prometheus that only the database knows, because workers made them. Milliseconds each."""

from sqlalchemy import Connection, and_, func, select

from heimdall.store.engine import Database
from heimdall.store.points import WIDTHS
from heimdall.store.tables import checkpoints, rollups, series, training_jobs, training_metrics

NUM_CHECKPOINTS = 20


def stored_figures(database: Database) -> dict[str, float]:
    """By full name. All fall when jobs are deleted, so none is a counter."""
    return database.read(_figures)


def _figures(connection: Connection) -> dict[str, float]:
    jobs = training_jobs.c
    sums = select(func.sum(jobs.restarts), func.sum(jobs.event_seq))
    restarts, num_events = connection.execute(sums).one()
    return {
        "heimdall_restarts": float(restarts or 0),
        "heimdall_events_stored": float(num_events or 0),
        "heimdall_points_stored": float(_num_points(connection)),
        "heimdall_checkpoint_seconds": _checkpoint_seconds(connection),
    }


def _num_points(connection: Connection) -> int:
    """From the widest roll-ups, one row for 4096 points."""
    widest = and_(rollups.c.series_id == series.c.id, rollups.c.width == WIDTHS[-1])
    return connection.execute(select(func.sum(rollups.c.count)).select_from(series.join(rollups, widest))).scalar() or 0


def _checkpoint_seconds(connection: Connection) -> float:
    """From an epoch's end until its checkpoint was safe: the mean of the newest."""
    rows, saved = training_metrics.c, checkpoints.c
    same_epoch = and_(saved.job_id == rows.training_job_id, saved.attempt == rows.attempt, saved.epoch == rows.epoch)
    statement = (
        select(rows.timestamp, saved.created_at)
        .join_from(training_metrics, checkpoints, same_epoch)
        .order_by(rows.timestamp.desc())
        .limit(NUM_CHECKPOINTS)
    )
    lengths = [(safe_at - ended_at).total_seconds() for ended_at, safe_at in connection.execute(statement)]
    return max(0.0, sum(lengths) / len(lengths)) if lengths else 0.0
