"""A data folder with a real store, and one warm fork server for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heimdall.artifacts import LocalArtifacts
from heimdall.store import open_database, open_stores, prepare
from heimdall.wake import InProcessWake
from heimdall.worker.processes import ForkServer
from tests.worker.place import PRELOAD, Gate, Place, wait_until


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    server = ForkServer(PRELOAD, env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"})
    server.start()
    wait_until(lambda: server.is_warm, timeout=60)
    assert server.failures == {}
    yield server
    server.close()


@pytest.fixture
def place(tmp_path: Path, server: ForkServer) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'heimdall.db'}"
    prepare(url, "upgrade")
    database = open_database(url)
    yield Place(
        data_dir=tmp_path,
        url=url,
        database=database,
        stores=open_stores(database),
        artifacts=LocalArtifacts(tmp_path / "artifacts", cache=tmp_path / "cache"),
        wake=InProcessWake(),
        server=server,
    )
    database.close()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")
