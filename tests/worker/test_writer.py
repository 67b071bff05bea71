"""The ordered writer against a real database that fails in every way a real one does."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heimdall.domain.attempt import Batch, EpochRow, WorkerInfo
from heimdall.domain.errors import LeaseLostError, UnavailableError
from heimdall.domain.job import Job
from heimdall.domain.log_lines import log_line
from heimdall.domain.ports import AttemptStore
from heimdall.worker.spool import BATCH, Spool
from heimdall.worker.stopping import StopFlag
from heimdall.worker.writer import Part, Writer
from tests.worker.place import Place, wait_until


class Flaky:
    """The real store behind a line that breaks: before the commit, or after it (the answer is lost)."""

    def __init__(self, store: AttemptStore) -> None:
        self._store = store
        self.is_away = threading.Event()
        self.num_lost_answers = 0
        self.num_writes = 0

    def write(self, job_id: str, token: str, batch: Batch) -> None:
        self.num_writes += 1
        if self.is_away.is_set():
            raise UnavailableError("The line is cut.")
        self._store.write(job_id, token, batch)
        if self.num_lost_answers:
            self.num_lost_answers -= 1
            raise UnavailableError("The answer is lost.")


@pytest.fixture
def job(place: Place) -> Job:
    place.submit()
    job = place.stores.attempts.claim(WorkerInfo(name="w", host="h", slots=1), free_gpus=0)
    assert job is not None
    return job


class Bench:
    def __init__(self, place: Place, job: Job, path: Path, *, spool_bytes: int = 1 << 20) -> None:
        self.line = Flaky(place.stores.attempts)
        self.stop = StopFlag()
        self.spool = Spool(path, in_memory=2)
        self.writer = Writer(
            self.line,  # pyright: ignore[reportArgumentType]
            job.id,
            job.lease_token or "",
            spool=self.spool,
            stop=self.stop,
            flush_seconds=0.01,
            spool_bytes=spool_bytes,
        )
        self.writer.start()


@pytest.fixture
def bench(place: Place, job: Job, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(place, job, tmp_path / "spool")
    yield bench
    bench.writer.abandon()


def lines(place: Place, job: Job) -> list[str]:
    return [message for _, message in place.log(job)]


def test_parts_are_stored_in_order(place: Place, job: Job, bench: Bench) -> None:
    for number in range(50):
        bench.writer.submit(Part(log_lines=[log_line(str(number))]))
    bench.writer.flush()
    assert lines(place, job) == [str(number) for number in range(50)]


def test_a_lost_answer_stores_nothing_twice(place: Place, job: Job, bench: Bench) -> None:
    for number in range(100):
        bench.line.num_lost_answers = 1
        bench.writer.submit(Part(log_lines=[log_line(str(number))]))
        bench.writer.flush()
    assert lines(place, job) == [str(number) for number in range(100)]
    events = place.events(job, "training:log")
    assert len(events) == 100
    assert place.stores.jobs.get(job.id).batch == 100


def test_what_waits_on_disk_is_stored_when_the_database_is_back(place: Place, job: Job, bench: Bench) -> None:
    bench.line.is_away.set()
    row = EpochRow(epoch=1, metrics={"train_loss": 0.5}, duration_seconds=1.0, timestamp=datetime.now(UTC))
    bench.writer.submit(Part(epoch_row=row))
    wait_until(lambda: bench.writer.is_away)
    for number in range(20):
        waiting = len(bench.spool)
        bench.writer.rows.append((number, 1.0, [("loss", float("inf") if number == 3 else float(number))]))
        bench.writer.submit(Part(log_lines=[log_line(str(number))]))
        wait_until(lambda waiting=waiting: len(bench.spool) > waiting)
    assert bench.spool.size_bytes > 0
    assert place.events(job, "training:log") == []
    bench.line.is_away.clear()
    bench.writer.flush()
    assert lines(place, job) == [str(number) for number in range(20)]
    assert place.stores.history.series(job.id)[0].points == 20
    assert place.stores.history.metrics(job.id)[0][0]["train_loss"] == 0.5
    assert not bench.spool.size_bytes


def test_an_endless_outage_drops_points_and_never_epochs(place: Place, job: Job, tmp_path: Path) -> None:
    bench = Bench(place, job, tmp_path / "other", spool_bytes=2000)
    bench.line.is_away.set()
    for number in range(30):
        waiting = len(bench.spool)
        bench.writer.rows.append((number, 1.0, [("loss", 1.0)]))
        row = EpochRow(epoch=number + 1, metrics={}, duration_seconds=1.0, timestamp=datetime.now(UTC))
        bench.writer.submit(Part(epoch_row=row))
        wait_until(lambda waiting=waiting: len(bench.spool) > waiting)
    bench.line.is_away.clear()
    bench.writer.flush()
    wait_until(lambda: any("dropped" in line for line in place.stores.jobs.get(job.id).warnings))
    assert place.stores.history.metrics(job.id)[1] == 30
    assert place.stores.history.series(job.id)[0].points < 30
    bench.writer.abandon()


def test_a_lost_lease_stops_the_writer(place: Place, job: Job, bench: Bench) -> None:
    place.stores.attempts.lose(job.id, job.lease_token or "", heartbeat=None, cause="test")
    bench.writer.submit(Part(log_lines=[log_line("too late")]))
    with pytest.raises(LeaseLostError):
        bench.writer.flush()
    assert bench.stop.is_lease_lost
    assert "too late" not in lines(place, job)


def test_what_cannot_be_stored_stops_the_training(bench: Bench) -> None:
    bench.writer.rows.append((-1, 1.0, [("loss", 1.0)]))
    with pytest.raises(ValueError, match="Step -1"):
        bench.writer.flush()
    assert bench.stop.is_set


def test_many_points_are_stored_in_batches_and_shown_thinned(place: Place, job: Job, bench: Bench) -> None:
    for step in range(12_000):
        bench.writer.rows.append((step, 1.0, [("loss", 100.0 if step == 7_777 else 1.0)]))
    bench.writer.flush(is_last=True)
    assert place.stores.history.series(job.id)[0].points == 12_000
    shown = [point for event in place.events(job, "training:metrics") for point in event["data"]["points"]]
    assert [7_777, 100.0] in shown
    assert len(shown) <= 200 * bench.line.num_writes


def test_a_spooled_batch_comes_back_the_same() -> None:
    row = EpochRow(epoch=1, metrics={"a": None}, duration_seconds=0.5, timestamp=datetime.now(UTC))
    batch = Batch(number=3, epoch_rows=[row], summary={"phase": "training"})
    assert BATCH.validate_python(BATCH.dump_python(batch, mode="json")) == batch
