from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.service import RunningService


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for all tests that do not harm it."""
    service = RunningService(tmp_path_factory.mktemp("shared")).start()
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
