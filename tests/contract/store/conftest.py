"""The databases under test: a SQLite file and a PostgreSQL database, each empty for every test."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from heimdall.domain.ports import Stores
from heimdall.store import Database, open_database, open_stores, prepare
from heimdall.store.tables import metadata
from tests.services_here import skip_without

SERVER = "postgresql+psycopg://root@127.0.0.1/postgres"


class Clock:
    """The time as the stores see it."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, **amount: float) -> None:
        self.offset += timedelta(**amount)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "heimdall.db"
    prepare(f"sqlite:///{path}", "upgrade")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a fresh, empty database."""
    name = f"heimdall_test_{uuid4().hex}"
    server = create_engine(SERVER, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError as error:
        skip_without("postgres", error)
    yield f"postgresql://root@127.0.0.1/{name}"
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    prepare(postgres_server, "upgrade")
    return postgres_server


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "heimdall.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_template: str) -> Iterator[str]:
    yield postgres_template
    engine = create_engine(postgres_template.replace("://", "+psycopg://"), poolclass=NullPool)
    with engine.begin() as connection:
        # What a failed test left open fails this one too, instead of holding it up for ever.
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY CASCADE"))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Database]:
    opened = open_database(url, now=clock)
    yield opened
    opened.close()


@pytest.fixture
def stores(database: Database) -> Stores:
    return open_stores(database)
