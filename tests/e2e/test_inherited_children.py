"""`heimdall up` inherits the orphans below it, as process 1 of a container does."""

import sys
from pathlib import Path

import psutil

from tests.e2e.service import RunningService, wait_until
from tests.plugin import install

PR_SET_CHILD_SUBREAPER = 36
INHERIT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1)  # kept by exec, not by fork
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_no_zombies_pile_up_and_known_children_keep_their_status(tmp_path: Path) -> None:
    install(tmp_path / "plugins", "parent", body="subprocess.Popen(['sleep', '1000'])")
    install(tmp_path / "plugins", "leaver", body="os._exit(7)")
    service = RunningService(
        tmp_path / "data", environment={"PYTHONPATH": str(tmp_path / "plugins")}, before=[sys.executable, "-c", INHERIT]
    )
    service.start()
    try:
        jobs = [service.submit({"epochs": 2}, kind="parent") for _ in range(3)]
        assert [service.wait_ended(job)["status"] for job in jobs] == ["completed"] * 3
        leaver = service.wait_ended(service.submit({}, kind="leaver"))
        assert leaver["error_message"] == "trainer exited with code 7 in epoch 1"
        assert service.process is not None
        up = psutil.Process(service.process.pid)
        wait_until(lambda: len(up.children()) == 1, seconds=30, what="only the fork server is left")
        assert service.kill_fork_server()
        wait_until(lambda: "The fork server ended (SIGKILL)" in service.log, seconds=30, what="its status is known")
    finally:
        assert service.close() == 0
