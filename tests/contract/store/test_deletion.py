"""Deleting leaves no row behind, in steps that never block others for long."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from heimdall.domain.attempt import Batch, SeriesPoints
from heimdall.domain.errors import JobNotFoundError, LeaseLostError
from heimdall.domain.ports import Stores
from heimdall.domain.records import IdempotencyKey, JobFilter
from heimdall.store import Database, deletion, open_database, open_stores
from heimdall.store.tables import metadata
from tests.contract.store.making import (
    claimed,
    epoch_batch,
    log_event,
    new_dataset,
    new_job,
    pause_artifact,
    running,
    token,
)


def rows(database: Database) -> dict[str, int]:
    """The number of rows of each table that has any, but for the list of what may have left files."""
    with database.reader.connect() as connection:
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
    return {name: count for name, count in counts.items() if count and name != "deletions"}


def filled(stores: Stores, key: str) -> str:
    new = new_job(tags=["a"])
    stores.jobs.create(new, idempotency=IdempotencyKey(key, "body"))
    stores.jobs.dispatch(new.id, f"task {key}")
    job = claimed(stores, new.id)
    batch = epoch_batch(job, 1, 1, artifacts={"a": pause_artifact("k")})
    batch.points.append(SeriesPoints("loss", [(step, 0.0, 1.0) for step in range(500)]))
    batch.points.append(SeriesPoints("other", [(1, 0.0, 1.0)]))
    stores.attempts.write(job.id, token(job), batch)
    stores.attempts.write(job.id, token(job), Batch(number=2, events=[log_event("INFO")] * 120))
    return job.id


def remove_rows(stores: Stores) -> list[str]:
    """What the sweep does with rows; the prefixes that stay known for their files."""
    prefixes = stores.jobs.deleted()
    for prefix in prefixes:
        while stores.jobs.delete_rows(prefix):
            pass
    return prefixes


def test_nothing_of_a_deleted_job_is_left(stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "SLICE", 50)  # several slices in every table
    kept = filled(stores, "kept")
    before = rows(database)
    lost = filled(stores, "lost")
    job = stores.jobs.get(lost)
    assert rows(database).keys() == before.keys()
    stores.jobs.delete(lost)
    assert stores.history.event_seqs([kept, lost]).keys() == {kept}
    with pytest.raises(JobNotFoundError):
        stores.jobs.delete(lost)
    with pytest.raises(LeaseLostError):
        stores.attempts.write(lost, token(job), Batch(number=3, events=[log_event("INFO")]))
    remove_rows(stores)
    assert rows(database) == before
    stores.jobs.delete(kept)
    remove_rows(stores)
    assert rows(database) == {}


def test_a_delete_hides_the_job_and_leaves_its_many_rows_to_the_sweep(
    stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "SLICE", 50)
    others = [filled(stores, str(number)) for number in range(3)]
    for job_id in others:
        stores.jobs.delete(job_id)
    lost = filled(stores, "lost")
    before = rows(database)["points"]
    stores.jobs.delete(lost)
    assert rows(database)["points"] == before == 4 * 501
    assert stores.jobs.page(JobFilter()).total == 0  # nobody sees it any more
    assert set(stores.jobs.deleted()) == {*others, lost}
    assert stores.jobs.delete_rows(lost)
    assert set(remove_rows(stores)) == {*others, lost}
    assert rows(database) == {}
    for job_id in (*others, lost):
        stores.jobs.forget_deleted(job_id)
    assert stores.jobs.deleted() == []


def test_a_dataset_that_was_not_finished_goes_with_its_job_and_its_files_are_known(
    stores: Stores, database: Database
) -> None:
    new = new_job(kind="synthetic")
    dataset = new_dataset(job_id=new.id)
    stores.jobs.create_with_dataset(replace(new, dataset_id=dataset.id), dataset)
    stores.jobs.delete(new.id)
    assert set(remove_rows(stores)) == {new.id, f"datasets/{dataset.id}"}
    assert rows(database) == {}


def test_the_space_of_deleted_rows_goes_back_to_the_disk(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    stores, path = open_stores(database), Path(database.url.database or "")
    job = running(stores)
    for number in range(1, 40):
        lines = [log_event(*["INFO"] * 1_000)]
        stores.attempts.write(job.id, token(job), Batch(number=number, events=lines))
    assert stores.jobs.shrink() is False
    assert Path(f"{path}-wal").stat().st_size == 0
    grown = path.stat().st_size
    stores.jobs.take_lease(job.id)
    stores.jobs.delete(job.id)
    remove_rows(stores)
    while stores.jobs.shrink():
        pass
    assert path.stat().st_size < grown / 2
    database.close()


def test_a_postgresql_database_has_nothing_to_shrink(postgres_url: str) -> None:
    database = open_database(postgres_url)
    assert open_stores(database).jobs.shrink() is False
    database.close()
