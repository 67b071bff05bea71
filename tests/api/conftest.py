from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from heimdall.jobs.request import JobRequest
from heimdall.store import prepare
from tests.api.client import Api
from tests.api.installation import Installation, open_installation
from tests.api.live_server import serve
from tests.api.worker import Run


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "heimdall.db"
    prepare(f"sqlite:///{file}", mode="upgrade")
    return file


@pytest.fixture(scope="module")
def installation(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with open_installation(template, tmp_path_factory.mktemp("installation")) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[TestClient]:
    with TestClient(installation.app, base_url="http://localhost:8001", raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def api(client: TestClient) -> Api:
    return Api(client)


@pytest.fixture(scope="module")
def port(installation: Installation) -> Iterator[int]:
    """A real server. Not together with `client`: both would run the app."""
    with serve(installation.app) as listening:
        yield listening


@pytest.fixture
def run(installation: Installation) -> Run:
    """A running job of three epochs."""
    return installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 3})).id)
