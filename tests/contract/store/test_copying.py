"""A database copied into another: every row, in both directions, and only when nothing can change meanwhile."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from heimdall.domain.access import Role
from heimdall.domain.attempt import Outcome
from heimdall.domain.errors import ConflictError, DatabaseRefusedError
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey
from heimdall.jobs.tokens import TokenService
from heimdall.store import Database, copy_database, copying, open_database, open_stores, prepare
from heimdall.store.tables import metadata
from tests.contract.store.making import (
    WORKER,
    again,
    epoch_batch,
    lease,
    new_dataset,
    new_job,
    paused,
    points_batch,
    queued,
    running,
    token,
)

Rows = dict[str, list[str]]


def rows_of(url: str) -> Rows:
    database = open_database(url)
    try:
        return {
            table.name: sorted(repr(row) for row in database.read(lambda c, t=table: c.execute(select(t)).all()))
            for table in metadata.sorted_tables
        }
    finally:
        database.close()


def live_through_a_lot(stores: Stores) -> str:
    """Jobs in many statuses with all that they leave; the id of one that can go on."""
    dataset = stores.datasets.open(new_dataset(name="größe 😀"))
    maker = running(stores)
    assert stores.datasets.take_lease(dataset.id, lease(maker), token="one", seen=None)
    stores.jobs.take_lease(maker.id)
    stores.datasets.set_approved(dataset.id, [1, 5], approved=False)
    key = IdempotencyKey("key", "body")
    stores.jobs.create(new_job(tags=["a", "b"], notes="\u2028 ' \\ \n", priority=-5), actor="Ada", idempotency=key)
    queued(stores, config={"nested": [1, 2.5, None, {"é": True}], "big": 2**60, "small": 1e-300})
    job = paused(stores, tags=["b"])
    stores.jobs.resume(job.id)
    job = again(stores, job.id)
    stores.attempts.took_over(job.id, token(job), from_epoch=1, from_step=100)
    stores.attempts.write(job.id, token(job), epoch_batch(job, 1, 2))
    many = {step: None if step % 7 == 0 else step / 3 for step in range(12_000)}
    stores.attempts.write(job.id, token(job), points_batch(2, "loss", many))
    stores.attempts.end(job.id, token(job), Outcome(action=Action.FAIL, error_message="no\tluck"))
    lost = running(stores)
    stores.attempts.lose(lost.id, token(lost), heartbeat=None, cause="SIGKILL", log_lines=[])
    TokenService(stores.tokens).create(Role.VIEWER, "Ada")
    stores.attempts.announce(WORKER)
    stores.attempts.retire(WORKER.name)
    return job.id


@pytest.fixture
def other_url(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of the other kind."""
    if url.startswith("sqlite"):
        yield request.getfixturevalue("postgres_url")
    else:
        yield f"sqlite:///{tmp_path}/other.db"


def test_everything_arrives_and_goes_on(stores: Stores, database: Database, url: str, other_url: str) -> None:
    job_id = live_through_a_lot(stores)
    database.close()
    told: list[str] = []
    copied = copy_database(url, other_url, lambda table, _: told.append(table))
    before, after = rows_of(url), rows_of(other_url)
    assert before.pop("idempotency_keys")
    assert after.pop("idempotency_keys") == []
    (dataset,), (moved,) = before.pop("datasets"), after.pop("datasets")
    assert dataset != moved  # its lease stays behind
    assert after == before
    assert {name: len(rows) for name, rows in (after | {"datasets": [moved]}).items() if name != "workers"} == copied
    assert told == list(copied)
    assert copied["points"] == 12_000 > 2 * copying.SLICE

    other = open_database(other_url)
    there = open_stores(other)
    (found,) = there.datasets.page(limit=5, offset=0)[0]
    assert found.lease_token is None
    there.jobs.retry(job_id)
    job = again(there, job_id)
    there.attempts.write(job.id, token(job), points_batch(1, "another", {1: 1.0}))  # a new number for a new series
    assert [event.seq for event in there.history.events(job_id)] == list(range(1, job.event_seq + 1))
    other.close()


def test_there_and_back_is_the_same(sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
    database = open_database(sqlite_url)
    live_through_a_lot(open_stores(database))
    database.close()
    copy_database(sqlite_url, postgres_url)
    copy_database(postgres_url, f"sqlite:///{tmp_path}/back.db")
    assert rows_of(f"sqlite:///{tmp_path}/back.db") == rows_of(postgres_url)


def test_a_target_with_rows_is_refused(stores: Stores, url: str, other_url: str) -> None:
    queued(stores)
    prepare(other_url, "upgrade")
    other = open_database(other_url)
    TokenService(open_stores(other).tokens).create(Role.VIEWER)
    other.close()
    before = rows_of(other_url)
    with pytest.raises(DatabaseRefusedError, match="tokens"):
        copy_database(url, other_url)
    assert rows_of(other_url) == before


def test_running_jobs_and_live_workers_are_named(stores: Stores, url: str, other_url: str) -> None:
    job = running(stores)
    with pytest.raises(ConflictError, match=job.id):
        copy_database(url, other_url)
    stores.attempts.end(job.id, token(job), Outcome(action=Action.FAIL))
    stop = threading.Event()

    def announce() -> None:
        while not stop.wait(0.05):
            stores.attempts.announce(WORKER)

    stores.attempts.announce(WORKER)
    announcing = threading.Thread(target=announce)
    announcing.start()
    try:
        with pytest.raises(ConflictError, match=WORKER.name):
            copy_database(url, other_url)
    finally:
        stop.set()
        announcing.join()
    # The row that a killed worker leaves stops nobody.
    assert copy_database(url, other_url, watch_seconds=0.2)["training_jobs"] == 1


def test_a_row_that_arrives_changed_undoes_everything(stores: Stores, url: str, tmp_path: Path) -> None:
    queued(stores, notes="kept")
    target = tmp_path / "target.db"
    prepare(f"sqlite:///{target}", "upgrade")
    with closing(sqlite3.connect(target)) as careless:
        careless.execute(
            "CREATE TRIGGER careless AFTER INSERT ON training_jobs BEGIN UPDATE training_jobs SET notes = 'lost'; END"
        )
    with pytest.raises(DatabaseRefusedError, match=r"training_jobs .* nothing was copied"):
        copy_database(url, f"sqlite:///{target}")
    assert not any(rows_of(f"sqlite:///{target}").values())


def test_the_same_or_no_database_is_refused(stores: Stores, url: str, tmp_path: Path) -> None:
    queued(stores)
    with pytest.raises(DatabaseRefusedError, match="another"):
        copy_database(url, url)
    with pytest.raises(DatabaseRefusedError, match="no database"):
        copy_database(f"sqlite:///{tmp_path}/missing.db", f"sqlite:///{tmp_path}/new.db")
    assert not (tmp_path / "missing.db").exists()
