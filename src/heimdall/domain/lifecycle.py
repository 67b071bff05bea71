"""The one table of what may happen to a job: (status, action) → status.

Every path that changes a status asks this table, and every change it allows is written by one
guarded UPDATE together with its event.
"""

from enum import StrEnum

from heimdall.domain.errors import ConflictError
from heimdall.domain.job import Requested, Status


class Action(StrEnum):
    DISPATCH = "dispatch"  # handed out
    RECALL = "recall"  # the hand-out could not be sent
    CLAIM = "claim"  # a slots loop took it: new attempt, new lease
    FINISH = "finish"
    FAIL = "fail"
    PAUSED = "paused"  # the worker has saved the full state
    CANCELLED = "cancelled"  # the worker has stopped
    RELEASED = "released"  # the worker stops and gives the job back; no restart counted
    CANCEL = "cancel"
    RESUME = "resume"
    RETRY = "retry"


TRANSITIONS: dict[tuple[Status, Action], Status] = {
    (Status.PENDING, Action.DISPATCH): Status.QUEUED,
    (Status.QUEUED, Action.RECALL): Status.PENDING,
    (Status.QUEUED, Action.CLAIM): Status.RUNNING,
    (Status.RUNNING, Action.FINISH): Status.COMPLETED,
    (Status.RUNNING, Action.FAIL): Status.FAILED,
    (Status.RUNNING, Action.PAUSED): Status.PAUSED,
    (Status.RUNNING, Action.CANCELLED): Status.CANCELLED,
    (Status.RUNNING, Action.RELEASED): Status.PENDING,
    (Status.PENDING, Action.CANCEL): Status.CANCELLED,
    (Status.QUEUED, Action.CANCEL): Status.CANCELLED,
    (Status.PAUSED, Action.CANCEL): Status.CANCELLED,
    (Status.PAUSED, Action.RESUME): Status.PENDING,
    (Status.FAILED, Action.RETRY): Status.PENDING,
    (Status.CANCELLED, Action.RETRY): Status.PENDING,
}

BACK_OFF_SECONDS = (0.0, 2.0, 8.0, 30.0)


def allowed_from(action: Action) -> tuple[Status, ...]:
    """The statuses `action` can start from, in table order."""
    return tuple(status for status, known in TRANSITIONS if known is action)


def next_status(status: Status, action: Action) -> Status:
    """The status after `action`.

    Raises:
        ConflictError: the table has no such transition.
    """
    try:
        return TRANSITIONS[status, action]
    except KeyError:
        raise ConflictError.of(action.value, status, allowed_from(action)) from None


def status_after_loss(
    requested: Requested | None, *, has_checkpoint: bool, losses_in_row: int, max_restarts: int
) -> Status:
    """Where a running job goes when its worker is lost.

    `losses_in_row` counts this loss too. A cancel that was asked for is done by the loss; a pause is
    done when a good checkpoint exists; otherwise the job goes on while restarts are left.
    """
    if requested is Requested.CANCEL:
        return Status.CANCELLED
    if requested is Requested.PAUSE and has_checkpoint:
        return Status.PAUSED
    return Status.PENDING if losses_in_row <= max_restarts else Status.FAILED


def back_off_seconds(losses_in_row: int) -> float:
    """How long the next attempt waits after this many losses in a row without a new checkpoint."""
    return BACK_OFF_SECONDS[min(max(losses_in_row - 1, 0), len(BACK_OFF_SECONDS) - 1)]
