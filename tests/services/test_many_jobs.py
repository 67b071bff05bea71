"""A hundred jobs at once through two API processes and two workers."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import websockets

from tests.e2e.small_jobs import small
from tests.services.cluster import Api, Cluster
from tests.services.postgres import need_postgres
from tests.services.rabbitmq import SharedRabbit, need_rabbitmq
from tests.services.s3 import S3Server

NUM_JOBS = 100


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Cluster]:
    need_postgres()
    need_rabbitmq()
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(folder, broker=SharedRabbit(), environment=s3_server.environment(s3_server.new_bucket()))
    try:
        yield cluster.start()
    finally:
        assert cluster.close() == [0, 0, 0, 0]


async def followed(api: Api, job_id: str) -> list[dict[str, Any]]:
    """Every event of the job as a socket of this API process shows it, until it closes."""
    url = f"ws://127.0.0.1:{api.port}/ws/training/{job_id}?after=0"
    async with websockets.connect(url, open_timeout=60) as connection:
        messages = [json.loads(text) async for text in connection]
    return [message for message in messages if message["event"] not in {"connected", "training_status"}]


async def followed_everywhere(apis: list[Api], job_ids: list[str]) -> list[list[dict[str, Any]]]:
    return await asyncio.gather(*(followed(api, job_id) for job_id in job_ids for api in apis))


def test_each_runs_once_and_every_client_sees_all_of_it(cluster: Cluster) -> None:
    dataset_id = cluster.apis[0].generate("few", 64)

    def submit(number: int) -> str:
        return cluster.apis[number % 2].submit(small(dataset_id, epochs=1, seed=number))

    with ThreadPoolExecutor(20) as pool:
        job_ids = list(pool.map(submit, range(NUM_JOBS)))
    seen = asyncio.run(followed_everywhere(cluster.apis, job_ids))
    workers = set[str]()
    for number, job_id in enumerate(job_ids):
        events = cluster.apis[0].events(job_id)
        assert seen[2 * number] == events
        assert seen[2 * number + 1] == events
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        names = [event["event"] for event in events]
        assert (names.count("training:started"), names.count("training:completed")) == (1, 1)
        job = cluster.apis[1].job(job_id)
        assert (job["status"], job["attempt"], job["restarts"]) == ("completed", 1, 0)
        workers |= {event["data"]["worker"] for event in events if event["data"].get("phase") == "starting"}
    assert len(workers) == 2
