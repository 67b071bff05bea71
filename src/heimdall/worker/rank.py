"""One further process of a job that trains on several devices: `python -m heimdall.worker.rank PID`.

PID is the job's first process, which starts this one and tells it everything. Without it this one must not live.
"""

import ctypes
import faulthandler
import os
import signal
import sys
from importlib import import_module

PR_SET_PDEATHSIG = 1


def main() -> None:
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process
    faulthandler.enable()
    import_module("heimdall.worker.rank_context").follow()


def die_with(parent: int) -> None:
    """SIGKILL when the parent ends, however it ends (Linux; elsewhere only the kill of its session comes here)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
