"""Any sequence of actions keeps the promises: the table is the law, the log has no holes, a refusal writes nothing."""

from collections.abc import Callable
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heimdall.domain.attempt import Outcome
from heimdall.domain.errors import CheckpointDamagedError, ConflictError, LeaseLostError, RequestChangedError
from heimdall.domain.job import Job, Reason, Requested, Status
from heimdall.domain.lifecycle import TRANSITIONS, Action
from heimdall.domain.ports import Stores
from tests.contract.store.making import WORKER, created, epoch_batch, pause_artifact

Do = Callable[[Stores, Job, str], object]

LOSSES = {(Status.RUNNING, to) for to in (Status.CANCELLED, Status.PAUSED, Status.PENDING, Status.FAILED)}
ALLOWED = {(status, to) for (status, _), to in TRANSITIONS.items()} | LOSSES
REFUSALS = (ConflictError, LeaseLostError, RequestChangedError, CheckpointDamagedError)


def end(action: Action) -> Do:
    def do(stores: Stores, job: Job, lease: str) -> object:
        pause = pause_artifact("k") if action is Action.PAUSED else None
        outcome = Outcome(action=action, seen=job.requested, pause_checkpoint=pause)
        return stores.attempts.end(job.id, lease, outcome)

    return do


def write(stores: Stores, job: Job, lease: str) -> object:
    return stores.attempts.write(job.id, lease, epoch_batch(job, job.batch + 1, job.batch + 1))


ACTIONS: dict[str, Do] = {
    "dispatch": lambda stores, job, _: stores.jobs.dispatch(job.id, str(uuid4())),
    "recall": lambda stores, job, _: stores.jobs.recall(job.id, job.celery_task_id or ""),
    "claim": lambda stores, job, _: stores.attempts.claim(WORKER, free_gpus=0, job_id=job.id),
    "pause": lambda stores, job, _: stores.jobs.request(job.id, Requested.PAUSE),
    "cancel": lambda stores, job, _: stores.jobs.cancel(job.id),
    "resume": lambda stores, job, _: stores.jobs.resume(job.id),
    "resume_last_good": lambda stores, job, _: stores.jobs.resume(job.id, last_good=1),
    "retry": lambda stores, job, _: stores.jobs.retry(job.id),
    "take_lease": lambda stores, job, _: stores.jobs.take_lease(job.id),
    "heartbeat": lambda stores, job, lease: stores.attempts.heartbeat(job.id, lease),
    "lose": lambda stores, job, lease: stores.attempts.lose(job.id, lease, heartbeat=job.heartbeat, cause="SIGKILL"),
    "write": write,
    "finish": end(Action.FINISH),
    "fail": end(Action.FAIL),
    "paused": end(Action.PAUSED),
    "cancelled": end(Action.CANCELLED),
    "released": end(Action.RELEASED),
}
COMMON = ("dispatch", "claim", "write", "pause", "paused", "resume", "lose")


@given(st.lists(st.sampled_from([*ACTIONS, *COMMON, *COMMON]), min_size=5, max_size=25))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_actions_keeps_the_promises(stores: Stores, names: list[str]) -> None:
    job = created(stores, max_restarts=2)
    lease = ""
    for name in names:
        before = job
        lease = before.lease_token or lease  # an old one is tried too
        try:
            ACTIONS[name](stores, before, lease)
        except REFUSALS:
            assert stores.jobs.get(job.id) == before
        job = stores.jobs.get(job.id)
        check(before, job, name)
    events = stores.history.events(job.id)
    assert [event.seq for event in events] == list(range(1, job.event_seq + 1))
    told = [event.data["status"] for event in events if "status" in event.data]
    assert told[-1] == job.status


def waits_after_a_loss(job: Job) -> bool:
    return job.reason is Reason.WORKER_LOST and job.restarts > 0 and job.status in {Status.PENDING, Status.QUEUED}


def check(before: Job, after: Job, name: str) -> None:
    if after.status is not before.status:
        assert (before.status, after.status) in ALLOWED, name
        assert after.event_seq > before.event_seq
    assert (after.status is Status.RUNNING) is (after.lease_token is not None)
    assert after.requested is None or after.status is Status.RUNNING
    assert (after.completed_at is not None) is after.status.is_ended
    assert after.reason is not None or not after.status.is_ended
    assert after.reason is None or after.status.is_ended or waits_after_a_loss(after)
    assert after.status is not Status.PAUSED or after.pause_checkpoint_path is not None
    assert after.losses_in_row <= after.max_restarts + 1
    assert after.attempt - before.attempt == (1 if name == "claim" and after.status is not before.status else 0)
