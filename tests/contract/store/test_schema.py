"""Migrations: nothing is lost, nothing happens twice, and what cannot be used is refused."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from heimdall.domain.errors import DatabaseOutdatedError, DatabaseRefusedError
from heimdall.domain.records import JobFilter
from heimdall.store import open_database, open_stores, prepare
from heimdall.store.schema import OURS, REVISION, Migrations
from heimdall.store.tables import metadata
from tests.contract.store.conftest import SERVER

KEPT = sorted((Path(__file__).parent / "databases").glob("*.db"))
ONLY_POSTGRES = {"ix_training_jobs_by_val_loss_descending"}
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{before}"

def upgrade():
    with op.batch_alter_table("training_jobs", recreate="{recreate}") as table:
        table.add_column(sa.Column("colour", sa.Text()))
    {more}
"""


def next_version(folder: Path, more: str = "pass", recreate: str = "always") -> Migrations:
    """The product as it will be with one more revision, which builds training_jobs anew."""
    shutil.copytree(OURS.folder, folder)
    script = NEXT.format(before=REVISION, more=more, recreate=recreate)
    (folder / "versions" / "next.py").write_text(script, encoding="utf-8")
    return Migrations(folder, "next")


def counts(path: Path) -> dict[str, int]:
    """Rows of each table of ours that the file has."""
    with closing(sqlite3.connect(path)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
            for name in metadata.tables
            if name in there
        }


def missing_tables(path: Path) -> dict[str, int]:
    """Rows of tables that a later version made: none, but for those that it fills from what is there."""
    before = counts(path)
    filled = {"job_texts": before["training_jobs"]}
    return {name: filled.get(name, 0) for name in metadata.tables.keys() - before.keys()}


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database file as an earlier version left it, with rows in every table."""
    path = tmp_path / "heimdall.db"
    shutil.copy(request.param, path)
    assert all(counts(path).values())
    return path


@pytest.fixture
def empty_postgres(postgres_server: str) -> Iterator[str]:
    assert postgres_server
    name = f"heimdall_test_{uuid4().hex}"
    engine = create_engine(SERVER, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"postgresql://root@127.0.0.1/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("empty_postgres")
    return f"sqlite:///{tmp_path}/heimdall.db"


def test_every_kept_database_comes_up_to_date_with_all_its_rows(kept: Path) -> None:
    before = counts(kept) | missing_tables(kept)
    assert prepare(f"sqlite:///{kept}", "upgrade") == REVISION
    assert counts(kept) == before
    database = open_database(f"sqlite:///{kept}")
    stores = open_stores(database)
    (job,) = stores.jobs.page(JobFilter(tags=["kept"])).jobs
    assert stores.jobs.page(JobFilter(q="A JOB")).total == before["training_jobs"]
    assert [event.seq for event in stores.history.events(job.id)] == list(range(1, job.event_seq + 1))
    assert stores.history.metrics(job.id)[1] == 1
    database.close()


def test_rebuilding_a_table_keeps_what_hangs_on_it_and_a_copy(kept: Path, tmp_path: Path) -> None:
    before, new_tables = counts(kept), missing_tables(kept)
    migrations = next_version(tmp_path / "migrations")
    assert prepare(f"sqlite:///{kept}", "upgrade", migrations) == "next"
    assert counts(kept) == before | new_tables
    assert counts(kept.with_name("heimdall.db.before-next")) == before
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT colour FROM training_jobs").fetchall()
    assert prepare(f"sqlite:///{kept}", "create_only", migrations) == "next"


def test_a_migration_that_loses_parents_is_undone(kept: Path, tmp_path: Path) -> None:
    before = counts(kept)
    migrations = next_version(tmp_path / "migrations", more='op.execute("DELETE FROM training_jobs")')
    with pytest.raises(DatabaseRefusedError, match="undone"):
        prepare(f"sqlite:///{kept}", "upgrade", migrations)
    assert counts(kept) == before
    assert prepare(f"sqlite:///{kept}", "upgrade") == REVISION


def test_an_older_database_is_left_alone_by_servers_and_workers(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseOutdatedError, match="heimdall migrate"):
        prepare(f"sqlite:///{kept}", "create_only", next_version(tmp_path / "migrations"))


def test_a_newer_database_is_refused(kept: Path, tmp_path: Path) -> None:
    prepare(f"sqlite:///{kept}", "upgrade", next_version(tmp_path / "migrations"))
    with pytest.raises(DatabaseRefusedError, match="newer"):
        prepare(f"sqlite:///{kept}", "upgrade")


def test_tables_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE training_jobs (id TEXT)")
    with pytest.raises(DatabaseRefusedError, match="empty database"):
        prepare(f"sqlite:///{path}", "upgrade")


def test_postgresql_comes_up_to_date(empty_postgres: str, tmp_path: Path) -> None:
    assert prepare(empty_postgres, "create_only") == REVISION
    migrations = next_version(tmp_path / "migrations", recreate="auto")
    with pytest.raises(DatabaseOutdatedError):
        prepare(empty_postgres, "create_only", migrations)
    assert prepare(empty_postgres, "upgrade", migrations) == "next"


def test_several_may_start_at_once(empty: str) -> None:
    code = "import sys; from heimdall.store import prepare; print(prepare(sys.argv[1], 'create_only'))"
    started = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, empty], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == [REVISION] * 3


def test_the_migrations_make_exactly_the_tables_of_the_code(empty: str) -> None:
    prepare(empty, "upgrade")
    engine = create_engine(empty.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect() as connection:
        elsewhere = ONLY_POSTGRES if connection.dialect.name == "sqlite" else set[str]()

        def is_here(_: object, name: str | None, *__: object) -> bool:
            return name not in elsewhere

        context = MigrationContext.configure(connection, opts={"include_object": is_here})
        assert compare_metadata(context, metadata) == []


def test_the_code_names_the_newest_revision() -> None:
    assert ScriptDirectory(str(OURS.folder)).get_current_head() == REVISION
    assert KEPT[-1].stem == REVISION


def test_alembic_is_not_loaded_when_there_is_nothing_to_do(sqlite_url: str) -> None:
    code = (
        "import sys; from heimdall.store import prepare; prepare(sys.argv[1], 'upgrade'); "
        "assert not {'alembic', 'psycopg', 'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, sqlite_url], check=True)
