"""What tests of several kinds share."""

import signal
from collections.abc import Iterator

import pytest

from tests.services.s3 import S3Server, need_s3

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts to press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    need_s3()
    server = S3Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.close()
