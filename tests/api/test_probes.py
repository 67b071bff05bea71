"""What nobody needs a token for cannot be used to keep the server from its work."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from heimdall.api.remembered import Remembered
from heimdall.api.services import Readiness
from heimdall.domain.errors import UnavailableError
from tests.api.installation import open_installation
from tests.api.live_server import serve

NUM_PROBES = 60


class SlowReadiness:
    """A check of parts that do not answer: it takes until the test lets it go."""

    def __init__(self) -> None:
        self.num_checks = 0
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self) -> Readiness:
        self.num_checks += 1
        self.is_asked.set()
        self.may_answer.wait(60)
        return Readiness(down=["artifact store"])


@pytest.fixture
def slow() -> Iterator[SlowReadiness]:
    readiness = SlowReadiness()
    yield readiness
    readiness.may_answer.set()


def test_slow_probes_take_no_thread_of_the_routes(template: Path, tmp_path: Path, slow: SlowReadiness) -> None:
    async def probe_and_work(url: str) -> None:
        limits = httpx2.Limits(max_connections=NUM_PROBES + 10)
        async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
            probes = [asyncio.create_task(client.get("/readyz")) for _ in range(NUM_PROBES)]
            await asyncio.to_thread(slow.is_asked.wait, 60)
            for _ in range(5):
                assert (await client.get("/api/v1/training/jobs")).status_code == 200
                assert (await client.get("/health")).status_code == 200
            assert not any(probe.done() for probe in probes)
            slow.may_answer.set()
            answers = await asyncio.gather(*probes)
        assert {answer.status_code for answer in answers} == {503}

    with (
        open_installation(template, tmp_path, check_readiness=slow) as installation,
        serve(installation.app) as port,
    ):
        asyncio.run(probe_and_work(f"http://127.0.0.1:{port}"))
    assert slow.num_checks <= 2  # those that came while the first was under way, and those after it


def test_all_who_wait_learn_of_one_failure() -> None:
    reads: list[int] = []
    is_asked, may_fail = threading.Event(), threading.Event()

    def read() -> int:
        reads.append(1)
        is_asked.set()
        may_fail.wait(60)
        if len(reads) == 1:
            raise UnavailableError("The database is away.")
        return 7

    async def ask() -> None:
        remembered = Remembered(read)
        waiting = [asyncio.create_task(remembered.since(float("inf"))) for _ in range(20)]
        await asyncio.to_thread(is_asked.wait, 60)
        may_fail.set()
        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(failure) for failure in failures] == [UnavailableError] * 20
        assert len(reads) == 1
        assert await remembered.since(0.0) == 7

    asyncio.run(ask())
