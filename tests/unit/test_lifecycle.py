"""The table of statuses, as the design page states it."""

import pytest

from heimdall.domain.errors import ConflictError
from heimdall.domain.job import ENDED, Requested, Status
from heimdall.domain.lifecycle import (
    TRANSITIONS,
    Action,
    allowed_from,
    back_off_seconds,
    next_status,
    status_after_loss,
)

REFUSED = [(status, action) for status in Status for action in Action if (status, action) not in TRANSITIONS]


@pytest.mark.parametrize(("status", "action"), REFUSED)
def test_an_action_outside_the_table_names_the_status_and_where_it_is_possible(status: Status, action: Action) -> None:
    with pytest.raises(ConflictError) as caught:
        next_status(status, action)
    assert status.value in str(caught.value)
    assert all(allowed.value in str(caught.value) for allowed in allowed_from(action))


def test_only_a_retry_leaves_an_end_state() -> None:
    assert {action for status, action in TRANSITIONS if status in ENDED} == {Action.RETRY}


def test_every_status_but_completed_can_be_left_and_every_status_can_be_reached() -> None:
    assert {status for status, _ in TRANSITIONS} == set(Status) - {Status.COMPLETED}
    assert set(TRANSITIONS.values()) == set(Status)


def test_running_is_reached_by_a_claim_alone() -> None:
    assert {key for key, status in TRANSITIONS.items() if status is Status.RUNNING} == {(Status.QUEUED, Action.CLAIM)}


@pytest.mark.parametrize(
    ("requested", "has_checkpoint", "losses_in_row", "expected"),
    [
        (Requested.CANCEL, True, 1, Status.CANCELLED),
        (Requested.CANCEL, False, 9, Status.CANCELLED),
        (Requested.PAUSE, True, 9, Status.PAUSED),
        (Requested.PAUSE, False, 1, Status.PENDING),
        (Requested.PAUSE, False, 4, Status.FAILED),
        (None, True, 3, Status.PENDING),
        (None, True, 4, Status.FAILED),
    ],
)
def test_where_a_lost_job_goes(
    requested: Requested | None, has_checkpoint: bool, losses_in_row: int, expected: Status
) -> None:
    after = status_after_loss(requested, has_checkpoint=has_checkpoint, losses_in_row=losses_in_row, max_restarts=3)
    assert after is expected


def test_back_off_grows_and_stays_at_its_greatest() -> None:
    assert [back_off_seconds(losses) for losses in range(7)] == [0, 0, 2, 8, 30, 30, 30]
