"""What tests of several kinds share."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_timeout  # pyright: ignore[reportMissingTypeStubs]

from tests.services.s3 import S3Server, need_s3

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts to press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run side by side: threads that wait for each other must not spin on a core that another test needs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, tests that share a costly service stay in one process; others stay with their file."""
    for item in items:
        parameters: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
        group = item.nodeid.split("::")[0]
        if "shared_service" in parameters:
            group = f"shared service: {parameters['shared_service']}"
        elif "service" in getattr(item, "fixturenames", ()) and group.startswith("tests/cli/"):
            group = "command line at a service"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Set the timeout again: pytest-timeout takes it off when a test fails, and a failed test's teardown may hang."""
    settings: Any = pytest_timeout._get_item_settings(item)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    if settings.timeout:
        item.config.pluginmanager.hook.pytest_timeout_cancel_timer(item=item)
        item.config.pluginmanager.hook.pytest_timeout_set_timer(item=item, settings=settings)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    need_s3()
    server = S3Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.close()
