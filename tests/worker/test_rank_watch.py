# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportPrivateImportUsage=false
"""The end of a job's further process is noticed whatever else has broken."""

import subprocess
import sys
import threading
from datetime import timedelta

import torch.distributed as dist

from heimdall.worker.rank_link import RankLink
from heimdall.worker.ranks import Death, Ranks

STORE = """
import sys, torch.distributed as dist
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
sys.stdin.read()
"""


def test_a_rank_that_dies_is_told_of_when_its_notes_cannot_be_read() -> None:
    with subprocess.Popen([sys.executable, "-c", STORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        port = int(host.stdout.readline())
        link = RankLink(dist.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=5)), 2)
        assert link.noted_end(1) is None
        host.kill()
    deaths: list[Death] = []
    ranks = Ranks(deaths.append)
    ranks._link = link
    rank = subprocess.Popen(["sleep", "600"])
    watch = threading.Thread(target=ranks._watch, args=(1, rank))
    watch.start()
    rank.kill()
    watch.join(60.0)
    assert [(death.rank, death.code, death.reason) for death in deaths] == [(1, -9, None)]


def test_a_death_that_cannot_be_recorded_ends_the_job() -> None:
    script = """
import subprocess, time
from heimdall.worker.ranks import Ranks
def fail(death):
    raise RuntimeError("the database is gone")
rank = subprocess.Popen(["false"])
import threading
threading.Thread(target=Ranks(fail)._watch, args=(1, rank), daemon=True).start()
time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "that could not be recorded" in done.stderr
