"""The process has no file descriptor left for a while."""

import resource
from dataclasses import replace

from heimdall.domain.job import Status
from heimdall.wake import InProcessWake
from tests.worker.place import FAST, Gate, Place, wait_until


class CountedWake(InProcessWake):
    def __init__(self) -> None:
        super().__init__()
        self.num_waits = 0

    def wait(self, timeout: float) -> bool:
        self.num_waits += 1
        return super().wait(timeout)


def test_jobs_start_at_once_again_when_descriptors_are_free_again(place: Place, gate: Gate) -> None:
    """`look_seconds`: without the thread that waits for queued jobs the second one would never start."""
    wake = CountedWake()
    place = replace(place, wake=wake)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with place.working(patience=replace(FAST, look_seconds=600.0, stopped_seconds=600.0)):
        first = place.submit(epochs=1, gate=gate.path)
        gate.wait_for(1)
        before = wake.num_waits
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            wait_until(lambda: wake.num_waits >= before + 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gate.open(1)
        assert place.wait(first).status is Status.COMPLETED
        assert place.wait(place.submit(epochs=1)).status is Status.COMPLETED
