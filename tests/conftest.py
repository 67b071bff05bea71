"""What tests of several kinds share."""

from collections.abc import Iterator

import pytest

from tests.services.s3 import S3Server, need_s3


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    need_s3()
    server = S3Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.close()
