"""Hears what is asked within the look, and notices code that holds the interpreter."""

import ctypes
from collections.abc import Iterator
from threading import Event
from typing import Any, cast

import pytest

from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.errors import DatasetLeaseLostError, UnavailableError
from heimdall.domain.job import Job, Requested
from heimdall.domain.ports import AttemptStore
from heimdall.wake import PollingSignal
from heimdall.worker.heartbeat import Heartbeat, InterpreterWatchdog
from heimdall.worker.stopping import StopFlag
from tests.worker.place import Place, wait_until
from tests.worker.slow import Slow


class Bench:
    """A heartbeat on `store`."""

    def __init__(self, store: object, job: Job) -> None:
        self.stop = StopFlag()
        self.heartbeat = Heartbeat(
            cast("AttemptStore", store),
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
    bench = Bench(place.stores.attempts, job)
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
    bench = Bench(store, job)
    wait_until(lambda: place.stores.jobs.get(job.id).heartbeat >= 2)
    bench.heartbeat.close()
    assert (store.num_mistakes, bench.stop.is_set) == (0, False)


class Away:
    """A line that says nothing, or `error`, until it is mended."""

    def __init__(self, store: AttemptStore, error: Exception | None = None) -> None:
        self._store = store
        self._error = error
        self.num_calls = 0
        self.is_mended = Event()

    def __getattr__(self, name: str) -> Any:
        self.num_calls += 1
        if self._error is None:
            self.is_mended.wait()
        elif not self.is_mended.is_set():
            raise self._error
        return getattr(self._store, name)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 3.0])
def test_a_poll_learns_what_was_asked_before_it_however_slow_the_answer(place: Place, job: Job, seconds: float) -> None:
    """Also while the answer to an earlier poll, which knows nothing of the request, is on its way."""
    bench = Bench(Slow(place.stores.attempts, seconds), job)
    heartbeat, stop = bench.heartbeat, bench.stop
    wait_until(lambda: place.stores.jobs.get(job.id).heartbeat >= 2)
    for _ in range(1 if seconds > 1 else 5):
        place.stores.jobs.request(job.id, Requested.PAUSE)
        assert heartbeat.poll()
        assert stop.requested is Requested.PAUSE
        place.stores.jobs.resume(job.id)
        assert heartbeat.poll()
        assert stop.requested is None
    heartbeat.close()


def test_a_database_that_says_nothing_is_not_waited_for(place: Place, job: Job) -> None:
    store = Away(place.stores.attempts)
    bench = Bench(store, job)
    heartbeat = bench.heartbeat
    wait_until(lambda: store.num_calls > 0)
    assert not heartbeat.poll()
    assert not store.is_mended.is_set()
    store.is_mended.set()
    assert heartbeat.poll()
    heartbeat.close()


def test_a_database_that_refuses_is_polled_until_it_answers(place: Place, job: Job) -> None:
    store = Away(place.stores.attempts, UnavailableError("away"))
    bench = Bench(store, job)
    heartbeat = bench.heartbeat
    wait_until(lambda: store.num_calls > 1)
    assert not heartbeat.poll()
    place.stores.jobs.request(job.id, Requested.PAUSE)
    store.is_mended.set()
    wait_until(heartbeat.poll)
    assert bench.stop.requested is Requested.PAUSE
    heartbeat.close()


def test_a_poll_after_the_lease_is_lost_learns_nothing_and_ends(place: Place, job: Job, bench: Bench) -> None:
    place.stores.attempts.lose(job.id, job.lease_token or "", heartbeat=None, cause="test")
    wait_until(lambda: bench.stop.is_lease_lost)
    assert not bench.heartbeat.poll()


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
