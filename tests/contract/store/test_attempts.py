"""What slots loops and job processes do."""

from datetime import timedelta
from typing import Any

import pytest

from heimdall.domain.attempt import Outcome, WorkerInfo
from heimdall.domain.errors import LeaseLostError, RequestChangedError
from heimdall.domain.events import EventName
from heimdall.domain.job import Job, Phase, Reason, Requested, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.store import Database
from heimdall.store.jobs import SqlJobStore
from heimdall.store.liveness import Liveness
from tests.contract.store.conftest import Clock
from tests.contract.store.making import (
    PAUSE_CHECKPOINT,
    WORKER,
    again,
    claimed,
    epoch_batch,
    epoch_row,
    log_lines,
    pause_artifact,
    queued,
    running,
    token,
)


def test_claims_go_by_priority_then_age_and_fit(stores: Stores) -> None:
    first, second = queued(stores), queued(stores)
    urgent, greedy = queued(stores, priority=5), queued(stores, priority=9, gpus=2)
    order = [stores.attempts.claim(WORKER, free_gpus=1) for _ in range(4)]
    assert [job and job.id for job in order] == [urgent.id, first.id, second.id, None]
    assert stores.attempts.claim(WORKER, free_gpus=2, job_id=first.id) is None
    job = stores.attempts.claim(WORKER, free_gpus=2, job_id=greedy.id)
    assert job is not None
    assert (job.status, job.phase, job.attempt, job.worker) == (Status.RUNNING, Phase.STARTING, 1, "worker-1")
    event = stores.history.events(job.id)[-1]
    assert event.data == {"status": "running", "phase": "starting", "attempt": 1, "worker": "worker-1"}
    assert event.attempt == 1


def test_a_job_that_can_run_nowhere_is_claimed_only_to_be_refused(stores: Stores) -> None:
    fitting, waiting, impossible = (queued(stores, gpus=gpus, priority=gpus) for gpus in (0, 2, 3))
    order = [stores.attempts.claim(WORKER, free_gpus=1, impossible_above=2) for _ in range(3)]
    assert [job and job.id for job in order] == [impossible.id, fitting.id, None]
    assert stores.jobs.get(waiting.id).status is Status.QUEUED


def test_a_job_waits_for_its_back_off_unless_the_clock_was_set_back(stores: Stores, clock: Clock) -> None:
    job = running(stores, max_restarts=10)
    for _ in range(2):
        assert stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL") is not None
        stores.jobs.dispatch(job.id, f"task {_}")
        if _ == 0:
            job = claimed(stores, job.id)  # the first loss costs no waiting
    assert stores.attempts.claim(WORKER, free_gpus=0) is None
    clock.advance(seconds=2.1)
    assert stores.attempts.claim(WORKER, free_gpus=0) is not None

    other = running(stores, max_restarts=10)
    for _ in range(2):
        stores.attempts.lose(other.id, token(other), heartbeat=None, cause="SIGKILL")
        stores.jobs.dispatch(other.id, f"other {_}")
        if _ == 0:
            other = claimed(stores, other.id)
    clock.advance(hours=-1)
    assert stores.attempts.claim(WORKER, free_gpus=0) is not None


def test_pulses_and_workers(stores: Stores) -> None:
    worker = WorkerInfo(name="w", host="there", slots=2, devices=["cuda:0"])
    stores.attempts.announce(worker)
    job_id = queued(stores).id
    job = stores.attempts.claim(worker, free_gpus=0)
    assert job is not None
    stores.attempts.started(job.id, token(job), pid=7, process_started=12.5)
    assert stores.attempts.heartbeat(job.id, token(job)) is None
    stores.jobs.request(job.id, Requested.PAUSE)
    assert stores.attempts.heartbeat(job.id, token(job)) is Requested.PAUSE
    assert stores.attempts.requested(job.id, token(job)) is Requested.PAUSE
    (pulse,) = stores.jobs.pulses()
    assert (pulse.job_id, pulse.heartbeat, pulse.pid, pulse.process_started) == (job_id, 2, 7, 12.5)
    assert (pulse.host, pulse.worker, pulse.attempt) == ("there", "w", 1)
    stores.attempts.announce(worker)
    (row,) = stores.jobs.workers()
    assert (row.name, row.slots, row.devices, row.running, row.counter) == ("w", 2, ["cuda:0"], [job.id], 2)
    stores.attempts.retire("w")
    assert stores.jobs.workers() == []


class Watching:
    """An API process that asks once a second of a monotonic clock that the test moves."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000.0
        self.jobs = SqlJobStore(database, Liveness(lambda: self.now))

    def live(self, *, after: int = 0, step: int = 1) -> list[str]:
        for _ in range(0, after, step):
            self.now += step
            self.jobs.workers()
        return [worker.name for worker in self.jobs.workers()]


def test_a_worker_lives_while_its_counter_moves_whatever_its_clock_says(
    stores: Stores, database: Database, clock: Clock
) -> None:
    watching = Watching(database)
    clock.advance(seconds=-90)
    stores.attempts.announce(WORKER)
    assert watching.live(after=29) == [WORKER.name]
    clock.advance(hours=5)
    assert watching.live() == [WORKER.name]
    assert watching.live(after=2) == []
    clock.advance(hours=-9)
    stores.attempts.announce(WORKER)
    assert watching.live() == [WORKER.name]


def test_a_worker_that_was_not_watched_has_a_moment_to_be_heard(stores: Stores, database: Database) -> None:
    stores.attempts.announce(WORKER)
    watching = Watching(database)
    assert watching.live(after=20) == [WORKER.name]
    watching.now += 600  # the database was away
    assert watching.live(after=5) == [WORKER.name]
    assert watching.live(after=2) == []


def test_no_gpus_are_missed_because_of_a_worker_with_a_slow_clock(stores: Stores, clock: Clock) -> None:
    clock.advance(seconds=-90)
    stores.attempts.announce(WorkerInfo(name="w", host="there", slots=2, devices=["cuda:0"]))
    clock.advance(seconds=90)
    job = queued(stores, gpus=1)
    stores.jobs.warn_of_missing_gpus()
    assert stores.jobs.get(job.id).warnings == []


def test_everything_is_refused_without_the_lease(stores: Stores) -> None:
    old = running(stores)
    assert stores.attempts.lose(old.id, token(old), heartbeat=None, cause="SIGKILL") is not None
    again(stores, old.id)
    before = stores.jobs.get(old.id)
    refused = [
        lambda: stores.attempts.started(old.id, token(old), pid=1, process_started=1.0),
        lambda: stores.attempts.heartbeat(old.id, token(old)),
        lambda: stores.attempts.requested(old.id, token(old)),
        lambda: stores.attempts.write(old.id, token(old), epoch_batch(old, 1, 1)),
        lambda: stores.attempts.fix_manifest(old.id, token(old), {"threads": 1}),
        lambda: stores.attempts.took_over(old.id, token(old), from_epoch=1, from_step=1),
        lambda: stores.attempts.end(old.id, token(old), Outcome(action=Action.FINISH)),
        lambda: stores.attempts.heartbeat("no such job", token(old)),
    ]
    for call in refused:
        with pytest.raises(LeaseLostError):
            call()
    assert stores.attempts.lose(old.id, token(old), heartbeat=None, cause="late") is None
    assert stores.jobs.get(old.id) == before


def test_the_first_manifest_wins(stores: Stores) -> None:
    job = running(stores)
    assert stores.attempts.fix_manifest(job.id, token(job), {"threads": 1}) == {"threads": 1}
    assert stores.attempts.fix_manifest(job.id, token(job), {"threads": 2, "dataset": "x"}) == {
        "threads": 1,
        "dataset": "x",
    }
    assert stores.jobs.get(job.id).manifest == {"threads": 1, "dataset": "x"}


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (Outcome(action=Action.FINISH), Status.COMPLETED, Reason.FINISHED),
        (Outcome(action=Action.FINISH, reason=Reason.EARLY_STOPPED), Status.COMPLETED, Reason.EARLY_STOPPED),
        (Outcome(action=Action.FAIL, error_message="boom\0"), Status.FAILED, Reason.ERROR),
        (Outcome(action=Action.CANCELLED), Status.CANCELLED, Reason.CANCELLED_BY_USER),
    ],
)
def test_ends(stores: Stores, outcome: Outcome, status: Status, reason: Reason) -> None:
    job = running(stores)
    ended = stores.attempts.end(job.id, token(job), outcome)
    assert (ended.status, ended.reason, ended.lease_token, ended.phase) == (status, reason, None, None)
    assert ended.completed_at is not None
    assert (ended.progress_percent == 100) is (status is Status.COMPLETED)
    event = stores.history.events(job.id)[-1]
    assert (event.event, event.data["status"], event.data["reason"]) == (EventName.COMPLETED, status, reason)
    assert stores.attempts.attempts(job.id)[0].cause == reason
    with pytest.raises(LeaseLostError):
        stores.attempts.end(job.id, token(job), outcome)


def test_the_last_log_lines_come_before_the_end(stores: Stores) -> None:
    job = running(stores)
    outcome = Outcome(action=Action.FAIL, log_lines=log_lines("INFO", "ERROR"))
    stores.attempts.end(job.id, token(job), outcome)
    events = [event.event for event in stores.history.events(job.id)]
    assert events[-2:] == [EventName.LOG, EventName.COMPLETED]
    assert [line["line"] for line in stores.history.logs(job.id)[0]] == [1, 2]


def test_a_pause_is_not_recorded_over_a_cancel(stores: Stores) -> None:
    job = running(stores)
    stores.jobs.request(job.id, Requested.PAUSE)
    stores.jobs.cancel(job.id)
    outcome = Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=pause_artifact("k"))
    with pytest.raises(RequestChangedError):
        stores.attempts.end(job.id, token(job), outcome)
    assert stores.history.artifacts(job.id) == []
    ended = stores.attempts.end(job.id, token(job), Outcome(action=Action.CANCELLED, seen=Requested.CANCEL))
    assert ended.status is Status.CANCELLED


def test_a_damaged_pause_checkpoint_puts_the_job_back(stores: Stores) -> None:
    job = running(stores)
    stores.jobs.request(job.id, Requested.PAUSE)
    outcome = Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=pause_artifact("k"))
    stores.attempts.end(job.id, token(job), outcome)
    stores.jobs.resume(job.id)
    job = again(stores, job.id)
    back = stores.attempts.end(job.id, token(job), Outcome(action=Action.PAUSED, reason=Reason.CHECKPOINT_DAMAGED))
    assert (back.status, back.reason, back.pause_checkpoint_path) == (
        Status.PAUSED,
        Reason.CHECKPOINT_DAMAGED,
        PAUSE_CHECKPOINT,
    )
    assert stores.jobs.resume(job.id).reason is None


def test_taking_over_clears_the_pause_checkpoint(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 3))
    stores.jobs.request(job.id, Requested.PAUSE)
    outcome = Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=pause_artifact("k"))
    stores.attempts.end(job.id, token(job), outcome)
    stores.jobs.resume(job.id)
    job = again(stores, job.id)
    assert job.pause_checkpoint_path == PAUSE_CHECKPOINT
    stores.attempts.took_over(job.id, token(job), from_epoch=3, from_step=300)
    now = stores.jobs.get(job.id)
    assert (now.pause_checkpoint_path, now.current_epoch, now.progress_percent) == (None, 3, 30.0)
    assert stores.history.artifacts(job.id) == []
    assert stores.attempts.attempts(job.id)[1].from_step == 300


def test_after_a_step_back_the_job_shows_the_figures_of_the_epoch_it_goes_on_from(stores: Stores) -> None:
    job = running(stores)
    shown: list[tuple[Any, ...]] = []
    for epoch in (1, 2):
        batch = epoch_batch(job, epoch, epoch)
        row = batch.epoch_rows[0] = epoch_row(epoch, train_loss=1.0 / epoch, other=2.0 * epoch)
        batch.summary.update(metrics=row.metrics, non_finite=row.non_finite, train_loss=row.metrics["train_loss"])
        stores.attempts.write(job.id, token(job), batch)
        shown.append(figures(stores.jobs.get(job.id)))
    assert shown[0] != shown[1]
    stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    job = again(stores, job.id)
    assert figures(job) == shown[1]
    stores.attempts.took_over(job.id, token(job), from_epoch=1, from_step=100)
    assert figures(stores.jobs.get(job.id)) == shown[0]
    stores.attempts.took_over(job.id, token(job), from_epoch=0, from_step=0)
    assert figures(stores.jobs.get(job.id)) == ({}, {}, None)


def figures(job: Job) -> tuple[Any, ...]:
    return job.metrics, job.non_finite, job.train_loss


def test_a_released_job_goes_back_without_counting(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 1))
    back = stores.attempts.end(job.id, token(job), Outcome(action=Action.RELEASED))
    assert (back.status, back.restarts, back.losses_in_row) == (Status.PENDING, 0, 0)
    event = stores.history.events(job.id)[-1]
    assert event.event is EventName.RECOVERED
    assert (event.data["reason"], event.data["resume_epoch"], event.data["restarts"]) == ("worker_stopped", 2, 0)


def test_releasing_does_not_forget_what_was_asked(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 1))
    stores.jobs.request(job.id, Requested.PAUSE)
    with pytest.raises(RequestChangedError):
        stores.attempts.end(job.id, token(job), Outcome(action=Action.RELEASED))
    ended = stores.attempts.end(job.id, token(job), Outcome(action=Action.RELEASED, seen=Requested.PAUSE))
    assert (ended.status, ended.pause_checkpoint_path) == (Status.PAUSED, PAUSE_CHECKPOINT)
    other = running(stores)
    stores.jobs.cancel(other.id)
    ended = stores.attempts.end(other.id, token(other), Outcome(action=Action.RELEASED, seen=Requested.CANCEL))
    assert ended.status is Status.CANCELLED


def test_a_lost_job_goes_on_until_its_restarts_are_used_up(stores: Stores, clock: Clock) -> None:
    job = running(stores, max_restarts=1)
    lost = stores.attempts.lose(job.id, token(job), heartbeat=0, cause="SIGKILL", log_lines=log_lines("ERROR"))
    assert lost is not None
    assert (lost.status, lost.restarts, lost.losses_in_row) == (Status.PENDING, 1, 1)
    assert "Attempt 1 was lost (SIGKILL)" in lost.warnings[0]
    events = [event.event for event in stores.history.events(job.id)]
    assert events[-3:] == [EventName.LOG, EventName.WARNING, EventName.RECOVERED]
    attempt = stores.attempts.attempts(job.id)[0]
    assert (attempt.cause, attempt.message) == ("worker_lost", "SIGKILL")

    job = again(stores, job.id)
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 1))  # a checkpoint starts the count anew
    lost = stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    assert lost is not None
    assert (lost.status, lost.restarts, lost.losses_in_row) == (Status.PENDING, 2, 1)

    job = again(stores, job.id)
    lost = stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    assert lost is not None
    assert (lost.status, lost.reason, lost.restarts) == (Status.FAILED, Reason.RESTARTS_EXHAUSTED, 2)
    assert lost.error_message is not None
    assert "2 times in a row" in lost.error_message
    assert lost.completed_at is not None
    assert lost.completed_at - clock() < timedelta(seconds=5)


def test_a_healthy_heartbeat_is_not_lost(stores: Stores) -> None:
    job = running(stores)
    stores.attempts.heartbeat(job.id, token(job))
    assert stores.attempts.lose(job.id, token(job), heartbeat=0, cause="silent") is None
    assert stores.attempts.lose(job.id, token(job), heartbeat=1, cause="silent") is not None


def test_a_loss_does_what_was_asked(stores: Stores) -> None:
    cancelled, too_early, paused = running(stores), running(stores), running(stores)
    stores.attempts.write(paused.id, token(paused), epoch_batch(paused, 1, 4))
    stores.jobs.cancel(cancelled.id)
    stores.jobs.request(too_early.id, Requested.PAUSE)
    stores.jobs.request(paused.id, Requested.PAUSE)
    ended = [
        stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
        for job in (cancelled, too_early, paused)
    ]
    assert [job and job.status for job in ended] == [Status.CANCELLED, Status.PENDING, Status.PAUSED]
    assert stores.history.artifact(paused.id, PAUSE_CHECKPOINT).file.key == f"{paused.id}/a1/e4/last.pth"
    event = stores.history.events(paused.id)[-1]
    assert (event.event, event.data["status"], event.data["checkpoint_path"]) == (
        EventName.COMPLETED,
        "paused",
        PAUSE_CHECKPOINT,
    )
    assert stores.jobs.resume(paused.id).status is Status.PENDING


def test_a_lost_attempt_is_paused_at_the_epoch_of_its_pause_checkpoint(stores: Stores) -> None:
    """Also when it had gone back before that epoch and could not mark the checkpoint as deleted any more."""
    job = running(stores)
    for epoch in (1, 2):
        stores.attempts.write(job.id, token(job), epoch_batch(job, epoch, epoch))
    stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    job = again(stores, job.id)
    stores.attempts.took_over(job.id, token(job), from_epoch=1, from_step=100)
    stores.jobs.request(job.id, Requested.PAUSE)
    paused = stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    assert paused is not None
    assert (paused.status, paused.current_epoch) == (Status.PAUSED, 2)
    assert stores.history.artifact(job.id, PAUSE_CHECKPOINT).file.key == f"{job.id}/a1/e2/last.pth"
    assert stores.history.events(job.id)[-1].data["epoch"] == 2
    stores.jobs.resume(job.id)
    assert stores.history.events(job.id)[-1].data["resume_epoch"] == 3


def test_retired_checkpoints_stay_in_the_list(stores: Stores) -> None:
    job = running(stores)
    for epoch in (1, 2):
        stores.attempts.write(job.id, token(job), epoch_batch(job, epoch, epoch))
    newest, oldest = stores.attempts.checkpoints(job.id)
    assert (newest.epoch, oldest.epoch, newest.manifest) == (2, 1, {"s": 1})
    stores.attempts.retire_checkpoints(job.id, token(job), [newest.file.key])
    assert [one.is_deleted for one in stores.attempts.checkpoints(job.id)] == [True, False]
    lost = stores.attempts.lose(job.id, token(job), heartbeat=None, cause="SIGKILL")
    assert lost is not None
    assert stores.history.events(job.id)[-1].data["resume_epoch"] == 2
    with pytest.raises(LeaseLostError):
        stores.attempts.retire_checkpoints(job.id, token(job), [oldest.file.key])
    assert [one.is_deleted for one in stores.attempts.checkpoints(job.id)] == [True, False]
