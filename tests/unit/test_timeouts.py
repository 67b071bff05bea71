"""The timeout of tests ends what hangs, also after a failure."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANGING = """
import threading

import pytest


@pytest.fixture
def never_done():
    yield
    threading.Event().wait()


def test_fails_and_its_teardown_hangs(never_done):
    raise AssertionError("the test itself")


def test_the_next_one_runs():
    pass
"""


def test_a_hanging_teardown_of_a_failed_test_is_ended(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "test_hanging.py").write_text(HANGING)
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_teardown\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=1", "test_hanging.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed, 1 error" in done.stdout
    assert "Timeout (>1.0s)" in done.stdout
