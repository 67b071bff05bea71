"""Figures for Prometheus."""

from dataclasses import replace
from datetime import timedelta

import pytest

from heimdall.domain.ports import Stores
from heimdall.store import Database, stored_figures
from tests.contract.store.conftest import Clock
from tests.contract.store.making import again, epoch_batch, epoch_row, points_batch, running, token


def test_an_empty_database_has_figures_too(database: Database) -> None:
    assert set(stored_figures(database).values()) == {0.0}


def test_figures_follow_what_workers_store(stores: Stores, database: Database, clock: Clock) -> None:
    lost = running(stores)
    stores.attempts.lose(lost.id, token(lost), heartbeat=None, cause="SIGKILL")
    job = again(stores, lost.id)
    ended_at = clock() - timedelta(seconds=3)
    batch = replace(epoch_batch(job, 1, 1), epoch_rows=[replace(epoch_row(1), timestamp=ended_at)])
    stores.attempts.write(job.id, token(job), batch)
    stores.attempts.write(job.id, token(job), points_batch(2, "loss", dict.fromkeys(range(5000), 1.0)))
    stores.attempts.write(job.id, token(job), points_batch(3, "loss", dict.fromkeys(range(4999, 5002), 1.0)))
    stores.attempts.write(job.id, token(job), points_batch(4, "other", {1: 1.0}))
    measured = stored_figures(database)
    assert measured["heimdall_restarts"] == 1
    assert measured["heimdall_points_stored"] == 5003
    assert measured["heimdall_events_stored"] == stores.jobs.get(job.id).event_seq
    assert measured["heimdall_checkpoint_seconds"] == pytest.approx(3, abs=1)
