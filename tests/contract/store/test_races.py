"""Several at once: threads with connections of their own, and real processes."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pytest

from heimdall.domain.attempt import Outcome
from heimdall.domain.errors import ConflictError, InvalidInputError, RequestChangedError
from heimdall.domain.events import EventName
from heimdall.domain.job import Job, Requested, Status
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey
from heimdall.store import open_database, open_stores
from tests.contract.store.making import (
    claimed,
    created,
    epoch_batch,
    new_dataset,
    new_job,
    pause_artifact,
    paused,
    queued,
    running,
    token,
)

R = TypeVar("R")

REPEATED = pytest.mark.parametrize("turn", range(3))  # a race is not met every time

CLAIM_ALL = """
import sys
from heimdall.domain.attempt import Outcome, WorkerInfo
from heimdall.domain.lifecycle import Action
from heimdall.store import open_database, open_stores
database = open_database(sys.argv[1])
stores = open_stores(database)
worker = WorkerInfo(name=sys.argv[2], host="here", slots=1)
stores.attempts.announce(worker)
sys.stdin.readline()
while (job := stores.attempts.claim(worker, free_gpus=0)) is not None:
    stores.attempts.heartbeat(job.id, job.lease_token)
    stores.attempts.end(job.id, job.lease_token, Outcome(action=Action.FINISH))
    print(job.id)
database.close()
"""


def at_once(url: str, *calls: Callable[[Stores], R]) -> list[R | Exception]:
    """What each call returned or raised; each on its own database object, as if in its own process."""
    results: dict[int, R | Exception] = {}
    barrier = threading.Barrier(len(calls))

    def run(place: int, call: Callable[[Stores], R]) -> None:
        database = open_database(url)
        stores = open_stores(database)
        stores.jobs.counts()  # connected before the start
        barrier.wait()
        try:
            results[place] = call(stores)
        except Exception as error:  # noqa: BLE001 - the error is the result
            results[place] = error
        database.close()

    threads = [threading.Thread(target=run, args=(place, call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[place] for place in range(len(calls))]


@REPEATED
def test_of_two_resumes_one_wins(url: str, stores: Stores, turn: int) -> None:
    job = paused(stores)

    def resume(one: Stores) -> Job:
        return one.jobs.resume(job.id)

    results = at_once(url, *[resume] * 3)
    assert sum(isinstance(result, ConflictError) for result in results) == 2
    names = [event.event for event in stores.history.events(job.id)]
    assert names.count(EventName.RESUMED) == 1


def test_processes_claim_each_job_once(url: str, stores: Stores) -> None:
    ids = [queued(stores).id for _ in range(40)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CLAIM_ALL, url, f"worker-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    taken = Counter(line for output in outputs for line in output.split())
    assert taken == Counter(ids)
    assert stores.jobs.counts()["completed"] == 40


@REPEATED
def test_double_delivery_starts_one_attempt(url: str, stores: Stores, turn: int) -> None:
    job = created(stores)

    def dispatch(one: Stores) -> Job | None:
        return one.jobs.dispatch(job.id, f"{job.id} {threading.get_ident()}")

    def claim(one: Stores) -> Job:
        return claimed(one, job.id)

    results = at_once(url, *[dispatch] * 3)
    assert sum(result is not None for result in results) == 1
    results = at_once(url, *[claim] * 3)
    assert sum(isinstance(result, AssertionError) for result in results) == 2
    assert stores.jobs.get(job.id).attempt == 1


@REPEATED
def test_a_cancel_and_a_pause_never_cross(url: str, stores: Stores, turn: int) -> None:
    job = running(stores)
    stores.jobs.request(job.id, Requested.PAUSE)
    outcome = Outcome(action=Action.PAUSED, seen=Requested.PAUSE, pause_checkpoint=pause_artifact("k"))
    ended, cancelled = at_once(
        url,
        lambda one: one.attempts.end(job.id, token(job), outcome),
        lambda one: one.jobs.cancel(job.id),
    )
    now = stores.jobs.get(job.id)
    assert not isinstance(cancelled, Exception)
    if isinstance(ended, RequestChangedError):  # the cancel came first and is still asked for
        assert (now.status, now.requested) == (Status.RUNNING, Requested.CANCEL)
    else:
        assert not isinstance(ended, Exception)
        assert now.status is Status.CANCELLED


def test_the_same_request_twice_at_once_makes_one_job(url: str, stores: Stores) -> None:
    key = IdempotencyKey("key", "body")

    def create(one: Stores) -> tuple[Job, bool]:
        return one.jobs.create(new_job(), idempotency=key)

    results = at_once(url, *[create] * 4)
    answers = [result for result in results if not isinstance(result, Exception)]
    assert len(answers) == 4, results
    assert len({job.id for job, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    assert stores.jobs.counts()["pending"] == 1


@REPEATED
def test_deleting_a_dataset_and_using_it_never_cross(url: str, stores: Stores, turn: int) -> None:
    dataset = stores.datasets.open(new_dataset(status="ready"))
    made, deleted = at_once(
        url,
        lambda one: one.jobs.create(new_job(dataset_id=dataset.id))[0].id,
        lambda one: one.datasets.delete(dataset.id).id,
    )
    assert isinstance(made, InvalidInputError) is not isinstance(deleted, ConflictError)


def test_writers_of_one_job_share_its_numbers(url: str, stores: Stores) -> None:
    job = running(stores)

    def write(one: Stores) -> None:
        for number in range(1, 21):
            one.attempts.write(job.id, token(job), epoch_batch(job, number, number))

    def ask(one: Stores) -> None:
        for _ in range(10):
            one.jobs.request(job.id, Requested.PAUSE)
            one.attempts.heartbeat(job.id, token(job))
            with suppress(ConflictError):  # the other one has taken the request back
                one.jobs.resume(job.id)

    assert at_once(url, write, ask, ask) == [None, None, None]
    events = stores.history.events(job.id)
    assert [event.seq for event in events] == list(range(1, stores.jobs.get(job.id).event_seq + 1))
    assert sum(event.event is EventName.PROGRESS for event in events) == 20
