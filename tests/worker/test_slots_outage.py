"""The database is away while a job trains."""

import sqlite3
from contextlib import closing

from heimdall.domain.job import Status
from tests.worker.place import Gate, Place, wait_until


def test_a_locked_database_delays_the_record_and_not_the_training(place: Place, gate: Gate) -> None:
    with place.working():
        job = place.submit(epochs=6, gate=gate.path)
        gate.wait_for(1)
        with closing(sqlite3.connect(place.data_dir / "heimdall.db", isolation_level=None)) as intruder:
            intruder.execute("BEGIN EXCLUSIVE")
            gate.open(1)
            gate.wait_for(2)  # one save may be in flight while the next epoch trains
            gate.open(2)
            wait_until(lambda: any("e1/last" in key for key in place.artifacts.keys(job.id)))
            assert place.stores.jobs.get(job.id).current_epoch == 0
            intruder.execute("COMMIT")
        gate.open(3, 4, 5, 6)
        job = place.wait(job)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    seqs = [event["seq"] for event in place.events(job)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert [event["data"]["epoch"] for event in place.events(job, "training:checkpoint")] == [1, 2, 3, 4, 5, 6]
    assert {one.name: one.points for one in place.stores.history.series(job.id)}["train_loss"] == 30
