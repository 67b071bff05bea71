"""Bringing the tables of a database to the revision this code was built for.

Alembic is loaded only when there is something to do, so that starting costs one query.
"""

import importlib
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from heimdall.domain.errors import DatabaseOutdatedError, DatabaseRefusedError, UnavailableError
from heimdall.store.engine import parse_url, single_connection_engine, sqlite_file
from heimdall.store.privacy import create_private

REVISION = "0005"
LOCK_NUMBER = 0x4845494D  # any number of our own; two starting processes meet at it

Mode = Literal["upgrade", "create_only", "check"]


class Runner(Protocol):
    def revisions(self) -> list[str]: ...

    def upgrade(self, connection: Connection, revision: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Migrations:
    """A folder of Alembic scripts and the revision the code needs."""

    folder: Path
    revision: str

    def runner(self) -> Runner:
        # Loaded by name: the API process must not hold Alembic when there is nothing to migrate.
        return importlib.import_module("heimdall.store.migrations.runner").Runner(self.folder)


OURS = Migrations(Path(__file__).parent / "migrations", REVISION)


def prepare(url: str, mode: Mode, migrations: Migrations = OURS) -> str:
    """Make the database ready and answer its revision; several processes may start at once.

    `upgrade` creates an empty database and brings an older one up to date (a SQLite file is copied first, to
    `{file}.before-{revision}`); `create_only` creates an empty one; `check` leaves all as it is and answers "" for an
    empty one.

    Raises:
        DatabaseOutdatedError: it is older and the mode is not `upgrade`.
        DatabaseRefusedError: it is newer than this code, holds tables of something else, or cannot be used.
        UnavailableError: it does not answer.
    """
    place = parse_url(url)
    if place.get_backend_name() == "sqlite":
        _close_files(sqlite_file(place))
    engine = single_connection_engine(place)
    try:
        with engine.connect() as connection, _alone(connection):
            found = _revision(connection)
            if found == migrations.revision:
                return migrations.revision
            if found is None:
                _refuse_foreign_tables(connection)
            else:
                _refuse_newer(found, migrations)
                if mode != "upgrade":
                    raise DatabaseOutdatedError(
                        f"The database is of revision {found}, this version needs {migrations.revision}: "
                        "stop all servers and workers, then run `heimdall migrate`."
                    )
                if connection.dialect.name == "sqlite":
                    copy_file(sqlite_file(place), migrations.revision)
            if mode == "check":
                return ""
            migrations.runner().upgrade(connection, migrations.revision)
            _check_foreign_keys(connection)
            return migrations.revision
    except DBAPIError as error:
        first_line = str(error.orig).strip().partition("\n")[0]
        is_sqlite = place.get_backend_name() == "sqlite"
        advice = "check the data folder" if is_sqlite else "check that it runs, and HEIMDALL_DATABASE_URL"
        raise UnavailableError(f"The database cannot be opened: {first_line}; {advice}.") from error
    finally:
        engine.dispose()


def _close_files(file: Path) -> None:
    """Raises: UnavailableError, when there can be no such file."""
    try:
        create_private(file)
    except OSError as error:
        raise UnavailableError(
            f"The database cannot be opened: {error.strerror} ({file}); check the data folder."
        ) from error


def copy_file(path: Path, revision: str) -> Path:
    """A whole copy of the SQLite file beside it, write-ahead log included."""
    target = path.with_name(f"{path.name}.before-{revision}")
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    create_private(partial)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(target)
    return target


@contextmanager
def _alone(connection: Connection) -> Generator[None]:
    """One transaction in which no other process migrates; kept when all went well."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout=60000")
        connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file; an old one keeps what it has
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        # Before BEGIN, where alone it has an effect: with keys on, rebuilding a table would delete what hangs on it.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def _revision(connection: Connection) -> str | None:
    """The revision of the tables; None when there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _refuse_foreign_tables(connection: Connection) -> None:
    if inspect(connection).has_table("training_jobs"):
        raise DatabaseRefusedError(
            "The database has a table training_jobs that this product did not make; name an empty database."
        )


def _refuse_newer(found: str, migrations: Migrations) -> None:
    if found not in migrations.runner().revisions():
        raise DatabaseRefusedError(
            f"The database is of revision {found}, newer than this version knows ({migrations.revision}); "
            "install the newer version again, or name another database."
        )


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        raise DatabaseRefusedError(
            f"The migration left {len(broken)} rows without their parents and was undone; the database is unchanged."
        )
