"""One database, two engines: a writer and a reader, for SQLite and PostgreSQL alike.

Every read that decides a write lies inside the writer's transaction (on SQLite it begins with BEGIN IMMEDIATE, so it
can neither fail half way nor read what is old); readers never wait for writers.
"""

import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import psutil
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, QueuePool

from heimdall.domain.errors import DatabaseRefusedError, UnavailableError
from heimdall.domain.events import Event
from heimdall.store.columns import from_json, to_json
from heimdall.store.vanished import APPLICATION, SESSION

P = ParamSpec("P")
R = TypeVar("R")
Publish = Callable[[Sequence[Event]], None]

BUSY_TIMEOUT_SECONDS = 10
TOLD = "heimdall.told"  # key in `Connection.info` of the events that the present transaction adds
NUM_TRIES = 3
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "fuse.sshfs"})
# The whole transaction was rolled back and nothing of it was kept: doing it again is safe.
ROLLED_BACK_STATES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
SQLITE_DEFECTS = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE}
)
# What waiting alone does not mend. A job waits all the same until somebody has mended it; its records wait on disk,
# and in memory once the disk is full.
SQLITE_TROUBLES = {
    sqlite3.SQLITE_FULL: "The disk of the database is full; free some space.",
    sqlite3.SQLITE_READONLY: "The database cannot be written to; check the permissions of its file and folder.",
    sqlite3.SQLITE_IOERR: "The disk of the database reports errors; check the disk and the system's log.",
    sqlite3.SQLITE_CORRUPT: "The file of the database is damaged; stop the service and put a copy in its place.",
    sqlite3.SQLITE_NOTADB: "The file of the database is not one; stop the service and put a copy in its place.",
}
POSTGRES_TROUBLES = {
    "53100": "The disk of the database server is full; free some space there.",
    "25006": "The database takes no writes; this is a standby, or its operator has made it read-only.",
}
POSTGRES_ARGUMENTS: dict[str, Any] = {
    "application_name": APPLICATION,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
POSTGRES_SESSION = {"lock_timeout": f"{BUSY_TIMEOUT_SECONDS}s", **SESSION}


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """The engines of one database. Close it when done; make a new one after a fork."""

    def __init__(
        self,
        url: URL,
        engines: tuple[Engine, Engine],
        now: Callable[[], datetime],
        *,
        publish: Publish | None = None,
    ) -> None:
        self.url = url
        self.writer, self.reader = engines
        self.now = now
        self._publish = publish

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.writer.dialect.name

    def write(self, work: Callable[[Connection], R]) -> R:
        """`work` in one write transaction; done again when PostgreSQL ended it for a deadlock.

        SQLite needs no second try: BEGIN IMMEDIATE waits for its turn, and then nothing can be in the way.

        Raises: UnavailableError.
        """
        with _explaining():
            for _ in range(NUM_TRIES - 1):
                try:
                    return self._commit(work)
                except DBAPIError as error:
                    if not _was_rolled_back(error):
                        raise
            return self._commit(work)

    def _commit(self, work: Callable[[Connection], R]) -> R:
        told: list[Event] = []
        with self.writer.begin() as connection:
            connection.info[TOLD] = told
            answer = work(connection)
        if told and self._publish is not None:
            self._publish(told)
        return answer

    def read(self, work: Callable[[Connection], R]) -> R:
        """`work` in one read transaction, which sees one moment of the database.

        Raises: UnavailableError.
        """
        with _explaining(), self.reader.begin() as connection:
            return work(connection)

    def describe(self) -> str:
        """Kind and version of the database, and where it is. Raises: UnavailableError."""
        statement = "select sqlite_version()" if self.dialect == "sqlite" else "show server_version"
        version = self.read(lambda connection: str(connection.execute(text(statement)).scalar_one()))
        name = "SQLite" if self.dialect == "sqlite" else "PostgreSQL"
        return f"{name} {version}, {self.url.render_as_string(hide_password=True)}"

    def close(self) -> None:
        self.writer.dispose()
        self.reader.dispose()


class HasDatabase(Protocol):
    @property
    def database(self) -> Database: ...


S = TypeVar("S", bound=HasDatabase)


def writes(method: Callable[Concatenate[S, Connection, P], R]) -> Callable[Concatenate[S, P], R]:
    """The method is one write transaction, handed to it as `connection`."""

    @wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.database.write(lambda connection: method(self, connection, *args, **kwargs))

    return run


def reads(method: Callable[Concatenate[S, Connection, P], R]) -> Callable[Concatenate[S, P], R]:
    """The method is one read transaction, handed to it as `connection`."""

    @wraps(method)
    def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.database.read(lambda connection: method(self, connection, *args, **kwargs))

    return run


def open_database(
    url: str,
    *,
    now: Callable[[], datetime] = utc_now,
    publish: Publish | None = None,
    has_one_connection: bool = False,
) -> Database:
    """Open `sqlite:///…`, `postgresql://…` or `postgresql+psycopg://…`. Nothing is connected before the first use.

    With `has_one_connection` all threads share one of PostgreSQL's connections, which a server has not many of.

    `publish` gets the new events of each transaction once it is committed; it must neither block nor raise.

    Raises: DatabaseRefusedError.
    """
    place = parse_url(url)
    if place.get_backend_name() == "sqlite":
        engines = _sqlite(place, is_writer=True), _sqlite(place, is_writer=False)
    elif has_one_connection:
        engine = _postgres(place, settings=POSTGRES_SESSION, pool_size=1, max_overflow=0)
        engines = engine, engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    else:
        # Readers see one moment in all statements of a transaction, as on SQLite; writers wait for row locks.
        reader = _postgres(place, settings={**POSTGRES_SESSION, "default_transaction_read_only": "on"})
        engines = (
            _postgres(place, settings=POSTGRES_SESSION),
            reader.execution_options(isolation_level="REPEATABLE READ"),
        )
    return Database(place, engines, now, publish=publish)


def parse_url(url: str) -> URL:
    """Raises: DatabaseRefusedError (not one of the known forms, in memory, or SQLite on a network folder)."""
    forms = "use sqlite:///path/to/file.db or postgresql://user:password@host/name"
    try:
        place = make_url(url)
    except ArgumentError:
        raise DatabaseRefusedError(f"The database URL cannot be read; {forms}.") from None
    match place.drivername:
        case "sqlite":
            if place.database in {None, "", ":memory:"}:
                raise DatabaseRefusedError("SQLite in memory cannot be shared by processes; name a file.")
            if "?" in url:  # what follows would be dropped, and databases of several names be one file
                raise DatabaseRefusedError(
                    f"The address of an SQLite database would end before its ?, with {place.database}; write %3F for ? "
                    "in its name, and leave out options."
                )
            check_folder(sqlite_file(place).parent)
            return place
        case "postgres" | "postgresql" | "postgresql+psycopg":
            return place.set(drivername="postgresql+psycopg")
        case other:
            raise DatabaseRefusedError(f"Databases of kind {other} are not supported; {forms}.")


def sqlite_file(place: URL) -> Path:
    return Path(place.database or "").resolve()


def check_folder(folder: Path) -> None:
    """Raises: DatabaseRefusedError when the folder lies on a network file system, whose locks SQLite cannot trust."""
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
    if kind in NETWORK_FILE_SYSTEMS:
        raise DatabaseRefusedError(
            f"SQLite loses data on a network file system ({kind}); choose a data folder on a local disk, or PostgreSQL."
        )


def sqlite_pragmas(connection: sqlite3.Connection) -> None:
    """The settings every SQLite connection of ours has. SQLAlchemy begins transactions, not the driver."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _sqlite(place: URL, *, is_writer: bool) -> Engine:
    # One writing connection a process: its threads queue for it fairly instead of polling SQLite's lock.
    engine = create_engine(
        place,
        poolclass=QueuePool,
        pool_size=1 if is_writer else 8,
        max_overflow=0 if is_writer else 32,
        pool_timeout=BUSY_TIMEOUT_SECONDS,
        connect_args={"check_same_thread": False},
        json_serializer=to_json,
        json_deserializer=from_json,
    )

    def connected(connection: sqlite3.Connection, _: object) -> None:
        sqlite_pragmas(connection)
        if not is_writer:
            connection.execute("PRAGMA query_only=ON")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _postgres(place: URL, *, settings: Mapping[str, str | int], pool_size: int = 5, max_overflow: int = 20) -> Engine:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return create_engine(
        place,
        isolation_level="READ COMMITTED",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=BUSY_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args={**POSTGRES_ARGUMENTS, "options": options},
        json_serializer=to_json,
        json_deserializer=from_json,
    )


def single_connection_engine(place: URL) -> Engine:
    """For migrations: no pool, no pragma but waiting, transactions begun by hand."""
    if place.get_backend_name() != "sqlite":
        return create_engine(place, poolclass=NullPool, connect_args=POSTGRES_ARGUMENTS)
    engine = create_engine(place, poolclass=NullPool, connect_args={"timeout": 60})

    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    event.listen(engine, "connect", connected)
    return engine


def _was_rolled_back(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in ROLLED_BACK_STATES


def _explained(error: DBAPIError | PoolTimeoutError) -> Exception:
    """UnavailableError for what only time or an operator can mend; other errors are defects and stay as they are."""
    if isinstance(error, PoolTimeoutError):
        return UnavailableError("The database is busy: no connection was free in time; try again in a moment.")
    if isinstance(error.orig, sqlite3.Error):
        number: int = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)  # Python's own errors have none
        is_defect, trouble = (number & 0xFF) in SQLITE_DEFECTS, SQLITE_TROUBLES.get(number & 0xFF)
    else:
        trouble = POSTGRES_TROUBLES.get(getattr(error.orig, "sqlstate", None) or "")
        is_defect = not (trouble or isinstance(error, OperationalError) or error.connection_invalidated)
    if is_defect:
        return error
    return UnavailableError(trouble or "The database cannot be reached or is locked; try again in a moment.")


@contextmanager
def _explaining() -> Generator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        explained = _explained(error)
        if explained is error:
            raise
        raise explained from error
