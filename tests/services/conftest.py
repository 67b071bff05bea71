from collections.abc import Iterator

import pytest

from tests.services.rabbitmq import SharedRabbit, need_rabbitmq
from tests.services.s3 import S3Server, need_s3


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """A virtual host of the module's own."""
    need_rabbitmq()
    rabbit = SharedRabbit()
    url = rabbit.add_vhost()
    yield url
    rabbit.delete_vhost(url)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    need_s3()
    server = S3Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.close()
