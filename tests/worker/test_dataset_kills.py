"""A job that makes a dataset and is killed at any call to database, artifact store or disk ends as one left alone.

Some calls are tried; `make chaos` (`HEIMDALL_CHAOS_SCHEDULES` above 5) tries each, until a hundred kills have hit.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any
from uuid import uuid4

import pytest

from heimdall.artifacts.keys import PARTIAL_SUFFIX
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.job import Job, NewJob, Status
from tests.worker.place import Place

IS_LONG = int(os.environ.get("HEIMDALL_CHAOS_SCHEDULES", "5")) > 5
NUM_KILLS = 100
SLOTS = 4


def generate(place: Place, **config: Any) -> Job:
    new = NewJob(id=str(uuid4()), job_name="test", kind="synthetic", config=config, total_epochs=0, max_restarts=3)
    dataset = Dataset(
        id=str(uuid4()),
        name=new.id,
        status=DatasetStatus.GENERATING,
        config=config,
        created_at=datetime.now(UTC),
        job_id=new.id,
    )
    place.stores.jobs.create_with_dataset(replace(new, dataset_id=dataset.id), dataset)
    return place.dispatch(new.id)


def num_calls(place: Place, job: Job) -> int:
    """How many calls a finished job's last attempt made."""
    return int((place.data_dir / f"{job.id}.calls").read_text("ascii"))


def moments(num: int) -> Iterator[int]:
    """Calls to kill at: a few of the first `num`, or each of them again and again."""
    if not IS_LONG:
        return iter(range(1, num + 1, 7))
    return (1 + number % num for number in count())


def assert_right(place: Place, job: Job, expected: Dataset) -> None:
    events = place.events(job)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (job.status, job.error_message) == (Status.COMPLETED, None), place.log(job)
    ends = [event for event in events if event["event"] == "training:completed"]
    assert [event["data"]["status"] for event in ends] == ["completed"]
    dataset = place.stores.datasets.get(job.dataset_id or "")
    assert (dataset.status, dataset.lease_token) == (DatasetStatus.READY, None)
    assert (dataset.sha256, dataset.num_samples, dataset.quality) == (
        expected.sha256,
        expected.num_samples,
        expected.quality,
    )
    files = place.artifacts.local_folder(dataset.key or "", dataset.files)
    assert [path.name for path in files.iterdir()] == [file["name"] for file in dataset.files]


def undisturbed(place: Place) -> tuple[int, Dataset]:
    job = place.wait(generate(place))
    assert job.status is Status.COMPLETED
    return num_calls(place, job), place.stores.datasets.get(job.dataset_id or "")


@pytest.mark.timeout(900 if IS_LONG else 120)
def test_a_dataset_job_may_be_killed_at_any_call(place: Place) -> None:
    num_killed = 0
    with place.working(slots=SLOTS):
        num, expected = undisturbed(place)
        calls = moments(num)
        while some := list(islice(calls, SLOTS)):
            jobs = [generate(place, kill_at=call) for call in some]
            for job in (place.wait(job, timeout=60) for job in jobs):
                assert_right(place, job, expected)
                assert_nothing_is_left(place, job)
                num_killed += job.attempt - 1
            if IS_LONG and num_killed >= NUM_KILLS:
                break
    assert num_killed >= (NUM_KILLS if IS_LONG else num // 7 // 2)


def assert_nothing_is_left(place: Place, job: Job) -> None:
    """Of the attempt that was killed: neither whole files nor half written ones."""
    dataset = place.stores.datasets.get(job.dataset_id or "")
    kept = place.artifacts.keys(f"datasets/{dataset.id}")
    assert kept == sorted(f"{dataset.key}/{file['name']}" for file in dataset.files)
    assert not list((place.data_dir / "artifacts" / "datasets" / dataset.id).rglob(f"*{PARTIAL_SUFFIX}"))


@pytest.mark.timeout(900 if IS_LONG else 120)
def test_a_job_that_makes_default_on_its_way_may_be_killed_at_any_call(place: Place) -> None:
    num_killed = 0
    with place.working():
        job = place.wait(place.submit(epochs=1, needs_dataset=True))
        num, expected = num_calls(place, job), place.stores.datasets.get(job.dataset_id or "")
        for call in range(1, num + 1, 1 if IS_LONG else 14):
            place.stores.datasets.delete(place.stores.datasets.get(job.dataset_id or "").id)
            job = place.wait(place.submit(epochs=1, needs_dataset=True, kill_at=call), timeout=60)
            assert_right(place, job, expected)
            num_killed += job.attempt - 1
    assert num_killed >= num // (2 if IS_LONG else 28)


def test_the_second_attempt_makes_nothing_again_that_is_published(place: Place) -> None:
    """Killed after it published: what completes the job is the row, not the same work once more."""
    with place.working():
        call, expected = undisturbed(place)
        job = place.wait(generate(place, kill_at=call))
        while job.attempt == 1:  # it had ended before that call
            call -= 1
            job = place.wait(generate(place, kill_at=call))
        assert_right(place, job, expected)
    phases = [(event["attempt"], event["data"]["phase"]) for event in place.events(job, "training:phase")]
    assert (1, "generating") in phases
    assert (2, "generating") not in phases
