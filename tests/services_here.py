"""What this machine offers to tests; `HEIMDALL_TEST_REQUIRE` names what must not be missing."""

import os
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("HEIMDALL_TEST_REQUIRE", "").split(",")


def skip_without(name: str, reason: object) -> NoReturn:
    """Skip the test, or fail it when `name` is required."""
    if name in REQUIRED:
        pytest.fail(f"{name} is required: {reason}")
    pytest.skip(f"{name} is not to be had here: {reason}")
