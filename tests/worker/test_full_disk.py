"""The disk of the database and of the spool is full: the job waits, and nothing it recorded is lost."""

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import Batch
from heimdall.domain.job import Status
from heimdall.store import open_database, open_stores, prepare
from heimdall.worker import writer as writer_module
from heimdall.worker.spool import Spool
from heimdall.worker.stopping import StopFlag
from heimdall.worker.writer import Writer
from tests.small_disk import fill, small_disk
from tests.worker.place import Place, wait_until


def test_a_job_waits_for_room_and_loses_no_point(place: Place, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    with small_disk(tmp_path / "disk", 24_000_000) as disk:
        url = f"sqlite:///{disk / 'heimdall.db'}"
        prepare(url, "upgrade")
        with closing(open_database(url)) as database:
            stores = open_stores(database)
            artifacts = LocalArtifacts(disk / "artifacts", cache=disk / "cache")
            full = replace(place, data_dir=disk, url=url, database=database, stores=stores, artifacts=artifacts)
            with full.working():
                job = full.submit(kind="act", act="log_until_there_is_room_again", epochs=0, gate=str(gate))
                wait_until((gate / "begun").exists)
                filler = fill(disk)
                wait_until((gate / "late").exists, timeout=60)
                filler.unlink()
                wait_until(lambda: stores.jobs.get(job.id).status is not Status.RUNNING, timeout=60)
                job = stores.jobs.get(job.id)
            assert (job.status, job.restarts, job.error_message) == (Status.COMPLETED, 0, None)
            (series,) = [one for one in stores.history.series(job.id) if one.name == "loss"]
            assert series.points == int((gate / "logged").read_text())


def test_batches_keep_their_order_over_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        spool = Spool(disk / "spool", in_memory=2)
        numbers = iter(range(1, 1000))
        for _ in range(5):
            spool.append(batch(next(numbers)))
        filler = fill(disk)
        while not spool.late_bytes:
            spool.append(batch(next(numbers)))
        for _ in range(5):
            spool.append(batch(next(numbers)))
        assert [taken(spool) for _ in range(3)] == [1, 2, 3]
        filler.unlink()
        spool.append(batch(next(numbers)))
        assert not spool.late_bytes
        last = next(numbers)
        assert [taken(spool) for _ in range(len(spool))] == list(range(4, last))
        assert (len(spool), spool.size_bytes, (disk / "spool").exists()) == (0, 0, False)


def batch(number: int) -> Batch:
    return Batch(number=number, summary={"text": "x" * 3000})


def taken(spool: Spool) -> int:
    number = spool.head().number
    spool.pop()
    return number


class Unwritable:
    """A database that takes nothing."""

    def write(self, *_: object) -> None:
        raise writer_module.UnavailableError("full")


def test_training_that_waits_for_room_still_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LATE_BYTES", 0)
    spool, stop = Spool(tmp_path / "no folder" / "spool", in_memory=1), StopFlag()
    writer = Writer(Unwritable(), "job", "token", spool=spool, stop=stop, flush_seconds=0.01)  # pyright: ignore[reportArgumentType]
    writer.start()
    for number in range(3):
        writer.rows.append((number, 1.0, [("loss", 1.0)]))
        wait_until(lambda number=number: len(spool) > number)
    wait_until(lambda: writer.is_full)
    waiting = threading.Thread(target=writer.wait_for_room)
    waiting.start()
    assert waiting.is_alive()
    stop.drain()
    waiting.join(10)
    assert not waiting.is_alive()
    assert stop.failure is None
    writer.abandon()
