"""Hears what is asked within the look, and notices code that holds the interpreter."""

import ctypes
from collections.abc import Iterator
from typing import Any, cast

import pytest

from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.errors import DatasetLeaseLostError
from heimdall.domain.job import Job, Requested
from heimdall.domain.ports import AttemptStore
from heimdall.wake import PollingSignal
from heimdall.worker.heartbeat import Heartbeat, InterpreterWatchdog
from heimdall.worker.stopping import StopFlag
from tests.worker.place import Place, wait_until


class Bench:
    def __init__(self, place: Place, job: Job) -> None:
        self.stop = StopFlag()
        self.heartbeat = Heartbeat(
            place.stores.attempts,
            job.id,
            job.lease_token or "",
            stop=self.stop,
            changes=PollingSignal(0.0),
            beat_seconds=0.05,
            look_seconds=0.02,
        )
        self.heartbeat.start()


@pytest.fixture
def job(place: Place) -> Job:
    place.submit()
    job = place.stores.attempts.claim(WorkerInfo(name="w", host="h", slots=1), free_gpus=0)
    assert job is not None
    return job


@pytest.fixture
def bench(place: Place, job: Job) -> Iterator[Bench]:
    bench = Bench(place, job)
    yield bench
    bench.heartbeat.close()


class Stumbling:
    """The real store; the first beats meet a mistake of ours."""

    def __init__(self, store: AttemptStore, *, num_mistakes: int) -> None:
        self._store = store
        self.num_mistakes = num_mistakes

    def __getattr__(self, name: str) -> Any:
        if name == "heartbeat" and self.num_mistakes:
            self.num_mistakes -= 1
            raise ValueError("a mistake")
        return getattr(self._store, name)


def test_a_mistake_does_not_end_it(place: Place, job: Job) -> None:
    store = Stumbling(place.stores.attempts, num_mistakes=3)
    stop = StopFlag()
    heartbeat = Heartbeat(
        cast("AttemptStore", store),
        job.id,
        job.lease_token or "",
        stop=stop,
        changes=PollingSignal(0.0),
        beat_seconds=0.05,
        look_seconds=0.02,
    )
    heartbeat.start()
    wait_until(lambda: place.stores.jobs.get(job.id).heartbeat >= 2)
    heartbeat.close()
    assert (store.num_mistakes, stop.is_set) == (0, False)


def test_an_answer_that_comes_late_takes_no_cancel_back() -> None:
    stop = StopFlag()
    stop.see(Requested.CANCEL)
    stop.see(Requested.PAUSE)
    stop.see(None)
    assert (stop.is_set, stop.requested) == (True, Requested.CANCEL)


def test_it_beats_and_hears(place: Place, job: Job, bench: Bench) -> None:
    wait_until(lambda: place.stores.jobs.get(job.id).heartbeat >= 3)
    place.stores.jobs.request(job.id, Requested.PAUSE)
    wait_until(lambda: bench.stop.requested is Requested.PAUSE)
    assert not bench.stop.is_set
    place.stores.jobs.cancel(job.id)
    wait_until(lambda: bench.stop.is_set)


def test_a_lost_lease_stops_the_training(place: Place, job: Job, bench: Bench) -> None:
    place.stores.attempts.lose(job.id, job.lease_token or "", heartbeat=None, cause="test")
    wait_until(lambda: bench.stop.is_lease_lost)
    assert bench.stop.is_set


def test_the_lost_lease_of_a_dataset_leaves_the_job_alone(place: Place, job: Job, bench: Bench) -> None:
    def lost() -> None:
        raise DatasetLeaseLostError("The dataset is made by somebody else.")

    bench.heartbeat.also = lost
    wait_until(lambda: bench.heartbeat.also is None)
    before = place.stores.jobs.get(job.id).heartbeat
    wait_until(lambda: place.stores.jobs.get(job.id).heartbeat > before + 1)
    assert not bench.stop.is_set


def test_a_held_interpreter_is_told_of_with_its_stack() -> None:
    messages: list[str] = []
    watchdog = InterpreterWatchdog(messages.append, limit_seconds=0.1)
    watchdog.expect_return(0.0)
    ctypes.PyDLL(None).usleep(300_000)  # holds the interpreter lock, unlike CDLL
    watchdog.returned()
    watchdog.expect_return(0.0)
    watchdog.returned()
    watchdog.close()
    assert len(messages) == 1
    assert "The interpreter was held for 0." in messages[0]
    assert "test_a_held_interpreter_is_told_of_with_its_stack" in messages[0]
