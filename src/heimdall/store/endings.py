"""How an attempt ends: by its worker's last word, or because the worker is gone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from heimdall.domain.attempt import PAUSE_CHECKPOINT, Outcome
from heimdall.domain.dataset import DatasetStatus
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.job import Job, Reason, Requested, Status
from heimdall.domain.lifecycle import Action, back_off_seconds, next_status, status_after_loss
from heimdall.domain.log_lines import add_lines, log_line
from heimdall.store.change import change_job, warn
from heimdall.store.datasets import end_generation
from heimdall.store.files import newest_checkpoint, put_artifact, put_pause_checkpoint
from heimdall.store.tables import attempts

NO_LEASE: dict[str, Any] = {
    "lease_token": None,
    "requested": None,
    "phase": None,
    "worker": None,
    "eta_seconds": None,
    "heartbeat_at": None,
}
DEFAULT_REASONS = {
    Action.FINISH: Reason.FINISHED,
    Action.FAIL: Reason.ERROR,
    Action.CANCELLED: Reason.CANCELLED_BY_USER,
}


def completed(
    job: Job,
    status: Status,
    reason: Reason | None,
    *,
    path: str | None = None,
    error: str | None = None,
    **more: str | None,
) -> NewEvent:
    """training:completed. `path`: the pause checkpoint of a job that is paused now; `more` goes into the data."""
    data = {
        "status": status.value,
        "reason": reason and reason.value,
        "epoch": job.current_epoch,
        "best_epoch": job.best_epoch,
        "best_val_loss": job.best_val_loss,
        "checkpoint_path": path or job.checkpoint_path,
        "error_message": error,
        **more,
    }
    return NewEvent(EventName.COMPLETED, data)


def log_events(lines: Sequence[Mapping[str, Any]]) -> list[NewEvent]:
    events: list[NewEvent] = []
    add_lines(events, lines)
    return events


def close_attempt(
    connection: Connection,
    job: Job,
    status: Status,
    *,
    values: Mapping[str, Any],
    events: Sequence[NewEvent],
    cause: str,
    message: str | None,
    now: datetime,
) -> Job:
    """Give the lease up and write down how the attempt ended."""
    row = (attempts.c.job_id == job.id) & (attempts.c.number == job.attempt)
    connection.execute(update(attempts).where(row).values(ended_at=now, cause=cause, message=message))
    return change_job(connection, job, {**NO_LEASE, "status": status, **values}, events, now)


def end_attempt(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> Job:
    """The worker's last word about a job whose lease it holds."""
    if outcome.action is Action.RELEASED:
        return _release(connection, job, outcome, now)
    if outcome.action is Action.PAUSED:
        return _pause(connection, job, outcome, now)
    status = next_status(job.status, outcome.action)
    reason = outcome.reason or DEFAULT_REASONS[outcome.action]
    values: dict[str, Any] = {"reason": reason, "completed_at": now, "error_message": outcome.error_message}
    if status is Status.COMPLETED:
        values["progress_percent"] = 100.0
    else:
        end_generation(connection, job.id, DatasetStatus(status.value))
    events = [*log_events(outcome.log_lines), completed(job, status, reason, error=outcome.error_message)]
    return close_attempt(
        connection,
        job,
        status,
        values=values,
        events=events,
        cause=reason.value,
        message=outcome.error_message,
        now=now,
    )


def _pause(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> Job:
    """Paused with its state saved; without a new file the pause checkpoint that is there stays (a damaged one)."""
    values: dict[str, Any] = {"reason": outcome.reason, "error_message": outcome.error_message}
    path = job.pause_checkpoint_path
    if outcome.pause_checkpoint is not None:
        put_artifact(connection, job.id, outcome.pause_checkpoint, now)
        path = values["pause_checkpoint_path"] = outcome.pause_checkpoint.name
    status = next_status(job.status, Action.PAUSED)
    event = completed(job, status, outcome.reason, path=path, error=outcome.error_message)
    cause = outcome.reason.value if outcome.reason else "paused"
    return close_attempt(
        connection,
        job,
        status,
        values=values,
        events=[*log_events(outcome.log_lines), event],
        cause=cause,
        message=outcome.error_message,
        now=now,
    )


def _release(connection: Connection, job: Job, outcome: Outcome, now: datetime) -> Job:
    """The worker stops: the job goes back to the queue, unless a user's wish can be done by stopping."""
    events = log_events(outcome.log_lines)
    ended = _ended_by_wish(connection, job, now)
    if ended is not None:
        status, values, event = ended
        events.append(event)
    else:
        status = next_status(job.status, Action.RELEASED)
        values, told = _with_pause_undone(job, [])
        values["celery_task_id"] = None
        events += [*told, _recovered(connection, job, "worker_stopped", job.restarts)]
    message = outcome.error_message
    return close_attempt(
        connection, job, status, values=values, events=events, cause="worker_stopped", message=message, now=now
    )


def _with_pause_undone(job: Job, lines: list[str]) -> tuple[dict[str, Any], list[NewEvent]]:
    """The job's warnings with `lines` and with one for a pause that found nothing saved to pause at, and the events."""
    events: list[NewEvent] = []
    if job.requested is Requested.PAUSE:
        lines = [*lines, "The pause that was asked for is off: no epoch was complete yet. Ask again."]
        events.append(NewEvent(EventName.REQUESTED, {"requested": None, "actor": None}))
    if not lines:
        return {}, events
    warnings, warned = warn(job.warnings, lines)
    return {"warnings": warnings}, [*events, *warned]


def lose_attempt(
    connection: Connection, job: Job, cause: str, lines: Sequence[Mapping[str, Any]], now: datetime
) -> Job:
    """The worker is gone without a word; `cause` is what became of it."""
    losses = job.losses_in_row + 1
    values: dict[str, Any] = {"losses_in_row": losses}
    newest = newest_checkpoint(connection, job.id)
    status = status_after_loss(
        job.requested, has_checkpoint=newest is not None, losses_in_row=losses, max_restarts=job.max_restarts
    )
    events = log_events(lines)
    if status is Status.PENDING:
        going_on = f"it goes on with epoch {newest.epoch + 1}" if newest else "it starts again"
        line = f"Attempt {job.attempt} was lost ({cause}); {going_on}."
        warned, warnings = _with_pause_undone(job, [line])
        add_lines(events, [log_line(line, "WARNING", now)])
        values |= warned
        values |= {
            "reason": Reason.WORKER_LOST,
            "restarts": job.restarts + 1,
            "not_before": now + timedelta(seconds=back_off_seconds(losses)),
            "celery_task_id": None,
        }
        events += [*warnings, _recovered(connection, job, "worker_lost", job.restarts + 1)]
    elif status is Status.FAILED:
        message = f"The worker was lost {losses} times in a row without a new checkpoint, last: {cause}."
        add_lines(events, [log_line(message, "ERROR", now)])
        values |= {"reason": Reason.RESTARTS_EXHAUSTED, "completed_at": now, "error_message": message}
        events.append(completed(job, status, Reason.RESTARTS_EXHAUSTED, error=message))
        end_generation(connection, job.id, DatasetStatus.FAILED)
    else:
        ended = _ended_by_wish(connection, job, now)
        assert ended is not None, "status_after_loss follows the same wishes"
        status, wished, event = ended
        line = f"Attempt {job.attempt} was lost ({cause}) before it could {job.requested}."
        values["warnings"], warnings = warn(job.warnings, [line])
        add_lines(events, [log_line(line, "WARNING", now)])
        values |= wished
        events += [*warnings, event]
    return close_attempt(
        connection, job, status, values=values, events=events, cause="worker_lost", message=cause, now=now
    )


def _ended_by_wish(connection: Connection, job: Job, now: datetime) -> tuple[Status, dict[str, Any], NewEvent] | None:
    """What a user asked of the job and the end of its worker does: a cancel, or a pause at its newest checkpoint."""
    if job.requested is Requested.CANCEL:
        status, reason = next_status(job.status, Action.CANCELLED), Reason.CANCELLED_BY_USER
        end_generation(connection, job.id, DatasetStatus.CANCELLED)
        return status, {"reason": reason, "completed_at": now}, completed(job, status, reason)
    newest = newest_checkpoint(connection, job.id)
    if job.requested is Requested.PAUSE and newest is not None:
        status = next_status(job.status, Action.PAUSED)
        put_pause_checkpoint(connection, job.id, newest.file, now)
        # An attempt that went back past a damaged checkpoint may have died before it could mark that one as deleted.
        values = {"pause_checkpoint_path": PAUSE_CHECKPOINT, "current_epoch": newest.epoch}
        paused = replace(job, current_epoch=newest.epoch)
        return status, values, completed(paused, status, None, path=PAUSE_CHECKPOINT)
    return None


def _recovered(connection: Connection, job: Job, reason: str, restarts: int) -> NewEvent:
    newest = newest_checkpoint(connection, job.id)
    resume_epoch = 1 if newest is None else newest.epoch + 1
    return NewEvent(
        EventName.RECOVERED,
        {"status": Status.PENDING.value, "reason": reason, "resume_epoch": resume_epoch, "restarts": restarts},
    )
