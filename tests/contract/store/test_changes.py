"""Which jobs changed since the last time, and the newest events of all jobs: without clocks, within bounds."""

from sqlalchemy import delete, update

from heimdall.domain.attempt import Batch, Outcome
from heimdall.domain.events import EventName
from heimdall.domain.lifecycle import Action
from heimdall.domain.ports import Stores
from heimdall.store import Database, open_database, open_stores
from heimdall.store.changes import next_change
from heimdall.store.tables import training_jobs
from tests.contract.store.conftest import Clock
from tests.contract.store.counting import counted
from tests.contract.store.making import claimed, created, log_event, paused, queued, running, token
from tests.contract.store.seeding import seed


def test_only_jobs_that_changed_are_found_whatever_the_clocks_say(stores: Stores, clock: Clock) -> None:
    old, job = paused(stores), queued(stores)
    everything, mark = stores.history.changed_jobs(None)
    assert everything == {old.id: old.event_seq, job.id: job.event_seq}
    clock.advance(seconds=-90)  # what is written now was written by a machine whose clock is slow
    run = claimed(stores, job.id)
    changed, mark = stores.history.changed_jobs(mark)
    assert changed == {job.id: run.event_seq}
    clock.advance(hours=-2)
    ended = stores.attempts.end(job.id, token(run), Outcome(action=Action.FAIL))
    new = created(stores)
    changed, mark = stores.history.changed_jobs(mark)
    assert changed == {job.id: ended.event_seq, new.id: new.event_seq}
    assert old.id not in stores.history.changed_jobs(mark)[0]


def test_a_change_is_found_though_newer_jobs_were_deleted(stores: Stores) -> None:
    first, *others = [queued(stores) for _ in range(4)]
    mark = stores.history.changed_jobs(None)[1]
    for job in others:
        stores.jobs.delete(job.id)
    run = claimed(stores, first.id)
    assert stores.history.changed_jobs(mark)[0] == {first.id: run.event_seq}
    mark = stores.history.changed_jobs(mark)[1]
    stores.jobs.delete(first.id)
    last = created(stores)
    assert stores.history.changed_jobs(mark)[0] == {last.id: 1}


def test_a_transaction_that_commits_late_is_found(postgres_url: str) -> None:
    """It has the smaller number, and a newer one was read before it committed."""
    database = open_database(postgres_url)
    stores = open_stores(database)
    slow, quick = queued(stores), queued(stores)
    mark = stores.history.changed_jobs(None)[1]
    with database.writer.begin() as connection:
        values = {"event_seq": slow.event_seq + 1, "changed": next_change(connection)}
        connection.execute(update(training_jobs).where(training_jobs.c.id == slow.id).values(**values))
        run = claimed(stores, quick.id)
        changed, mark = stores.history.changed_jobs(mark)
        assert changed == {quick.id: run.event_seq}
    assert stores.history.changed_jobs(mark)[0][slow.id] == slow.event_seq + 1
    database.close()


def test_numbers_of_another_database_hide_nothing(postgres_url: str) -> None:
    """Rows that were copied here may have larger numbers than this server will give for years."""
    database = open_database(postgres_url)
    stores = open_stores(database)
    copied = queued(stores)
    with database.writer.begin() as connection:
        connection.execute(update(training_jobs).values(changed=2**60))
    mark = stores.history.changed_jobs(None)[1]
    assert stores.history.changed_jobs(mark)[0] == {}
    run = claimed(stores, copied.id)
    assert stores.history.changed_jobs(mark)[0] == {copied.id: run.event_seq}
    database.close()


def names_of(stores: Stores, places: list[tuple[str, int]]) -> list[str]:
    return [event.event.value for event in stores.history.events_at(places)]


def test_the_newest_events_by_name_and_by_job(stores: Stores, database: Database) -> None:
    job, other = running(stores), running(stores)
    stores.attempts.write(job.id, token(job), Batch(number=1, events=[log_event("INFO")]))
    recent = stores.history.recent_events
    started = [EventName.PHASE, EventName.QUEUED]
    assert recent(started, limit=3) == [(job.id, 3), (other.id, 2), (other.id, 3)]
    assert recent(started, job_ids=[job.id, "unknown"], limit=3) == [(job.id, 2), (job.id, 3)]
    assert names_of(stores, recent([EventName.LOG], limit=5)) == ["training:log"]
    assert recent([], limit=5) == recent(started, job_ids=[], limit=5) == []
    with database.writer.begin() as connection:
        connection.execute(delete(training_jobs).where(training_jobs.c.id == other.id))  # its events follow later
    assert recent(started, limit=3) == [(job.id, 2), (job.id, 3)]


def test_a_search_does_not_read_the_whole_log(stores: Stores, database: Database) -> None:
    seed(database, queued(stores), jobs=1_000, events=10)
    with counted(database) as statements:
        assert len(stores.history.recent_events([EventName.RECOVERED], limit=3)) == 3
        assert stores.history.recent_events([EventName.WARNING], limit=1_000) == []
        assert len(stores.history.recent_events(list(EventName), limit=1_000)) == 1_000
    assert len(statements) == 3
    if database.dialect == "sqlite":
        with database.reader.connect() as connection:
            for statement, parameters in statements:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                assert not [step for *_, step in plan if step.startswith("SCAN job_events")]
