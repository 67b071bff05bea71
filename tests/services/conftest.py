from collections.abc import Iterator

import pytest

from tests.services.rabbitmq import SharedRabbit, need_rabbitmq


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    """A virtual host of the module's own."""
    need_rabbitmq()
    rabbit = SharedRabbit()
    url = rabbit.add_vhost()
    yield url
    rabbit.delete_vhost(url)
