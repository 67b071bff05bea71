"""The dataset named `default`: made once, by whichever job is there, and never changed under a job."""

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.dataset import Dataset, DatasetStatus
from heimdall.domain.job import NewJob, Phase, Reason, Status
from heimdall.worker.datasets import JobDatasets, fixed_unapproved
from tests.worker.place import Gate, Place, wait_until


def test_the_first_job_makes_it_and_others_wait(place: Place, gate: Gate) -> None:
    place.dataset_gate = gate.path
    with place.working(slots=2):
        jobs = [place.submit(epochs=1, needs_dataset=True) for _ in range(2)]
        gate.wait_for(0)
        wait_until(lambda: all(place.stores.jobs.get(job.id).phase is Phase.PREPARING_DATA for job in jobs))
        gate.open(0)
        jobs = [place.wait(job) for job in jobs]
    assert [job.status for job in jobs] == [Status.COMPLETED, Status.COMPLETED]
    datasets, total = place.stores.datasets.page(limit=10, offset=0)
    assert total == 1
    assert {job.dataset_id for job in jobs} == {datasets[0].id}
    assert datasets[0].sha256 == jobs[0].manifest["dataset_sha256"]
    progress = [event for job in jobs for event in place.events(job, "dataset:generation_progress")]
    assert progress[-1]["data"]["progress_percent"] == 100.0


def test_a_waiting_job_takes_over_from_a_lost_one(place: Place, gate: Gate) -> None:
    place.dataset_gate = gate.path
    with place.working(slots=2) as loop:
        first = place.submit(epochs=1, needs_dataset=True, max_restarts=0)
        gate.wait_for(0)
        gate.forget(0)
        second = place.submit(epochs=1, needs_dataset=True)
        wait_until(lambda: place.stores.jobs.get(second.id).phase is Phase.PREPARING_DATA)
        os.kill(loop.pids[first.id], signal.SIGKILL)
        gate.wait_for(0)
        gate.open(0)
        assert place.wait(second).status is Status.COMPLETED
        assert place.wait(first).reason is Reason.RESTARTS_EXHAUSTED


def test_a_job_that_makes_or_awaits_data_obeys_a_cancel(place: Place, gate: Gate) -> None:
    place.dataset_gate = gate.path
    with place.working(slots=2):
        maker = place.submit(epochs=1, needs_dataset=True)
        gate.wait_for(0)
        waiter = place.submit(epochs=1, needs_dataset=True)
        wait_until(lambda: place.stores.jobs.get(waiter.id).phase is Phase.PREPARING_DATA)
        for job in (waiter, maker):
            place.stores.jobs.cancel(job.id)
            assert place.wait(job, timeout=2.0).status is Status.CANCELLED
    dataset = place.stores.datasets.find("default")
    assert dataset is not None
    assert (dataset.status, dataset.lease_token) == (DatasetStatus.GENERATING, None)


def test_why_it_was_not_made_is_said_also_when_the_lease_cannot_be_given_up(place: Place) -> None:
    place.dataset_fails = True
    with place.working():
        job = place.wait(place.submit(epochs=1, needs_dataset=True))
    assert (job.status, job.error_message) == (Status.FAILED, "ValueError: no samples today")


def test_one_begun_by_an_older_release_is_made(place: Place) -> None:
    config = {"name": "default", "size": 50, "colour": "red"}
    begun = Dataset(
        id="0", name="default", status=DatasetStatus.GENERATING, config=config, created_at=datetime.now(UTC)
    )
    place.stores.datasets.open(begun)
    with place.working():
        job = place.wait(place.submit(epochs=1, needs_dataset=True))
    assert (job.status, job.dataset_id) == (Status.COMPLETED, "0")
    assert place.stores.datasets.get("0").num_samples == 50
    assert "The config field colour (it was 'red') is unknown to this release and is ignored." in job.warnings


def test_other_samples_under_the_same_name_are_refused(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=2, needs_dataset=True, gate=gate.path)
        gate.open(1)
        gate.wait_for(2)
        with place.database.writer.begin() as connection:
            connection.exec_driver_sql("UPDATE datasets SET sha256 = 'other'")
        os.kill(loop.pids[job.id], signal.SIGKILL)
        job = place.wait(job)
    assert (job.status, job.reason) == (Status.FAILED, Reason.INVALID_CONFIG)
    assert "other" in (job.error_message or "")


def test_the_samples_left_out_are_fixed_at_the_first_attempt_and_cost_the_job_nothing(
    place: Place, tmp_path: Path
) -> None:
    marked = list(range(0, 100_000, 2))
    dataset = Dataset(
        id=str(uuid4()),
        name="d",
        status=DatasetStatus.READY,
        config={},
        created_at=datetime.now(UTC),
        sha256="a",
        key="datasets/d",
    )
    place.stores.datasets.open(dataset)
    place.stores.datasets.set_approved(dataset.id, marked, approved=False)
    job, _ = place.stores.jobs.create(
        NewJob(id=str(uuid4()), job_name="j", kind="descent", config={}, total_epochs=1, dataset_id=dataset.id)
    )
    place.stores.jobs.dispatch(job.id, "task")

    def attempt() -> JobDatasets:
        claimed = place.stores.attempts.claim(WorkerInfo(name="w", host="h", slots=1), free_gpus=0, job_id=job.id)
        assert claimed is not None
        return JobDatasets(
            claimed,
            claimed.lease_token or "",
            place.stores,
            LocalArtifacts(tmp_path / "files", cache=tmp_path / "cache"),
            heartbeats=place.stores.datasets,
            default_config={},
        )

    assert attempt().folder(dataset.id).unapproved == marked
    first = place.stores.jobs.get(job.id)
    assert len(json.dumps(first.manifest)) < 1_000
    place.stores.datasets.set_approved(dataset.id, [0, 2, 4], approved=True)
    place.stores.attempts.lose(job.id, first.lease_token or "", heartbeat=None, cause="SIGKILL")
    place.stores.jobs.dispatch(job.id, "next")
    assert attempt().folder(dataset.id).unapproved == marked


def test_a_manifest_that_holds_the_list_itself_is_read_as_before(place: Place) -> None:
    assert fixed_unapproved({"dataset_id": "d", "unapproved": [3, 7]}, place.stores.datasets) == [3, 7]
    both = {"dataset_id": "d", "unapproved": [3, 7], "unapproved_sha256": "of today"}
    assert fixed_unapproved(both, place.stores.datasets) == [3, 7]
