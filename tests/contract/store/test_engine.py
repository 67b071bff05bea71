"""Opening a database: which addresses, which settings, and what its failures look like."""

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest
from psycopg import Cursor
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError

from heimdall.domain.errors import DatabaseRefusedError, UnavailableError
from heimdall.store import Database, open_database, open_stores
from heimdall.store import engine as engine_module
from heimdall.store import vanished as vanished_module
from heimdall.store.tables import training_jobs
from tests.contract.store.making import created, points_batch, running, token


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///x.db"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(DatabaseRefusedError):
        open_database(url)


def test_all_forms_of_postgresql_are_taken() -> None:
    for url in ("postgresql://ada:secret@host/name", "postgresql+psycopg://ada:secret@host/name"):
        database = open_database(url)
        assert database.dialect == "postgresql"
        assert "secret" not in str(database.url)
        database.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs"])
def test_sqlite_on_a_network_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def partitions(**_: bool) -> list[SimpleNamespace]:
        return mounts

    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", partitions)
    with pytest.raises(DatabaseRefusedError, match=kind):
        open_database(f"sqlite:///{tmp_path}/heimdall.db")


def test_sqlite_is_set_up_to_lose_nothing(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    for engine in (database.writer, database.reader):
        with engine.connect() as connection:
            values = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
            }
        assert values == {
            "journal_mode": "wal",
            "synchronous": 2,  # FULL
            "foreign_keys": 1,
            "busy_timeout": 10_000,
            "query_only": int(engine is database.reader),
        }
    database.close()


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.reader.begin() as connection:
        connection.execute(text("DELETE FROM workers"))


def test_a_reader_sees_one_moment_and_waits_for_nobody(database: Database) -> None:
    stores = open_stores(database)
    with database.writer.begin() as writing:
        writing.execute(text("DELETE FROM workers"))
        assert stores.jobs.counts()["pending"] == 0


def test_the_writer_holds_the_lock_from_its_first_statement(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with database.writer.begin() as writing:
        writing.execute(select(training_jobs.c.id))  # a read only
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    database.close()


def test_a_database_that_is_away_is_said_to_be_so(tmp_path: Path) -> None:
    for url in ("postgresql://root@127.0.0.1:1/none", f"sqlite:///{tmp_path}/no/such/folder.db"):
        database = open_database(url)
        with pytest.raises(UnavailableError):
            open_stores(database).jobs.counts()
        with pytest.raises(UnavailableError):
            open_stores(database).jobs.dispatch("a", "b")
        database.close()


def test_a_full_disk_and_a_damaged_file_are_called_by_their_names(sqlite_url: str) -> None:
    database = open_database(sqlite_url)
    with pytest.raises(UnavailableError, match="disk of the database is full"):
        database.write(fill_up)
    database.close()
    Path(sqlite_url.removeprefix("sqlite:///")).write_bytes(b"no database" * 1000)
    with pytest.raises(UnavailableError, match="file of the database is"):
        open_stores(database).jobs.counts()
    database.close()


def fill_up(connection: Connection) -> None:
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    connection.exec_driver_sql("CREATE TABLE large AS SELECT zeroblob(1000000)")


def test_a_defect_is_not_called_an_outage(database: Database) -> None:
    with pytest.raises(DBAPIError):
        database.write(lambda connection: connection.execute(text("SELECT * FROM no_such_table")))


def test_a_table_that_stays_locked_is_an_outage_for_points_too(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_module.POSTGRES_SESSION, "lock_timeout", "200")
    database = open_database(postgres_url)
    stores = open_stores(database)
    job = running(stores)
    batch = points_batch(1, "loss", {1: 0.5})
    with psycopg.connect(postgres_url) as operator:
        operator.execute("LOCK TABLE points IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UnavailableError):
            stores.attempts.write(job.id, token(job), batch)
    stores.attempts.write(job.id, token(job), batch)
    assert stores.history.series(job.id)[0].name == "loss"
    database.close()


def test_a_database_that_takes_no_writes_is_an_outage(postgres_url: str) -> None:
    database = open_database(postgres_url)

    def write(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("DELETE FROM workers")

    with pytest.raises(UnavailableError, match="takes no writes"):
        database.write(write)
    database.close()


def test_a_deadlock_is_tried_again(postgres_url: str) -> None:
    database = open_database(postgres_url)
    tries: list[int] = []

    def work(connection: Connection) -> str:
        tries.append(1)
        if len(tries) < 3:
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$")
        return "done"

    assert database.write(work) == "done"
    assert len(tries) == 3
    database.close()


def test_describe_hides_the_password(database: Database) -> None:
    assert database.describe().startswith(("SQLite 3.", "PostgreSQL 1"))


def test_a_writer_that_vanishes_within_a_transaction_does_not_keep_its_rows(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_module.POSTGRES_SESSION, "idle_in_transaction_session_timeout", "1s")
    vanishing, living = open_database(postgres_url), open_database(postgres_url)
    stores = open_stores(living)
    job = created(stores)
    with vanishing.writer.connect() as connection:
        connection.execute(select(training_jobs.c.id).with_for_update())  # and no more is heard
        assert stores.jobs.dispatch(job.id, "task")
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
            connection.execute(text("SELECT 1"))
    vanishing.close()
    living.close()


def after_a_statement(cursor: Cursor) -> None:
    cursor.execute("SELECT 1")


def after_many_statements_at_once(cursor: Cursor) -> None:
    cursor.executemany("INSERT INTO deletions VALUES (%s)", [("one",), ("two",)])


def within_a_copy(cursor: Cursor) -> None:
    cursor.copy("COPY deletions FROM STDIN").__enter__()


@pytest.mark.parametrize("vanish", [after_a_statement, after_many_statements_at_once, within_a_copy])
def test_a_job_whose_worker_vanished_anywhere_is_taken_over_at_once(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, vanish: Callable[[Cursor], None]
) -> None:
    monkeypatch.setattr(vanished_module, "VANISHED_SECONDS", 0)
    stores = open_stores(living := open_database(postgres_url))
    job = running(stores)
    with (
        psycopg.connect(postgres_url) as operator,  # not one of ours: it may think for as long as it likes
        psycopg.connect(postgres_url, application_name="heimdall") as vanishing,  # the server does not know it is gone
    ):
        operator.execute("SELECT id FROM training_jobs")
        vanishing.execute("SELECT id FROM training_jobs FOR UPDATE")
        vanish(vanishing.cursor())
        begun = time.monotonic()
        assert stores.attempts.lose(job.id, token(job), heartbeat=None, cause="silent")
        assert time.monotonic() - begun < engine_module.BUSY_TIMEOUT_SECONDS / 2
        operator.execute("SELECT 1")
        vanishing.close()
    living.close()


def test_a_defect_is_raised_as_it_is_and_never_from_itself(sqlite_url: str) -> None:
    with closing(open_database(sqlite_url)) as database:
        for method in (database.write, database.read):
            with pytest.raises(DBAPIError) as caught:
                method(lambda connection: connection.exec_driver_sql("SELECT ?", (object(),)))  # Python's own refusal
            assert not hasattr(caught.value.orig, "sqlite_errorcode")
            assert caught.value.__cause__ is not caught.value


def test_a_database_with_one_connection_serves_reads_and_writes_of_all_threads(postgres_url: str) -> None:
    database = open_database(postgres_url, has_one_connection=True)
    stores = open_stores(database)
    barrier = threading.Barrier(8)

    def work(_: int) -> str:
        barrier.wait(30)
        job = created(stores)
        return stores.jobs.get(job.id).id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 8
    assert database.read(connections_of) == 1
    assert database.read(lambda connection: shown(connection, "transaction_isolation")) == "repeatable read"
    assert database.write(lambda connection: shown(connection, "transaction_isolation")) == "read committed"
    assert database.write(lambda connection: shown(connection, "transaction_read_only")) == "off"
    with pytest.raises(Exception, match="read-only"):
        database.read(lambda connection: connection.execute(text("DELETE FROM job_tags")))
    database.close()


def connections_of(connection: Connection) -> int:
    """All of ours to the database under test."""
    ours = "datname = current_database() AND application_name = current_setting('application_name')"
    return connection.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}")).scalar_one()  # noqa: S608


def shown(connection: Connection, name: str) -> str:
    return str(connection.execute(text(f"SHOW {name}")).scalar_one())
