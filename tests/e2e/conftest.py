from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.service import RunningService
from tests.services.postgres import need_postgres
from tests.services.rabbitmq import need_rabbitmq
from tests.services.s3 import need_s3
from tests.services.team import TeamService


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shared_service" in metafunc.fixturenames:
        kinds = ["embedded", "team"] if metafunc.definition.get_closest_marker("team") else ["embedded"]
        metafunc.parametrize("shared_service", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def shared_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """One service for all tests that do not harm it: `heimdall up`, or a team's with PostgreSQL, RabbitMQ and S3."""
    folder = tmp_path_factory.mktemp(f"shared-{request.param}")
    if request.param == "team":
        need_postgres()
        need_rabbitmq()
        need_s3()
    service = TeamService(folder) if request.param == "team" else RunningService(folder)
    service.start()
    yield service
    assert service.close() == 0


@pytest.fixture(scope="session")
def dataset_id(shared_service: RunningService) -> str:
    """So few samples that an epoch takes a fraction of a second."""
    return shared_service.generate("few", 300)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """A service of the test's own, not started yet."""
    service = RunningService(tmp_path / "data")
    yield service
    service.close()
