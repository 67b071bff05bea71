"""A job from claim to its end."""

import json
import os
import signal
from pathlib import Path

import psutil
from sqlalchemy import text

from heimdall.artifacts.keys import PARTIAL_SUFFIX
from heimdall.domain.job import Reason, Status
from heimdall.worker.line_splitter import CUT
from tests.worker.place import Gate, Place, wait_until


def test_a_job_runs_to_its_end(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=4))
    assert (job.status, job.reason, job.error_message) == (Status.COMPLETED, Reason.FINISHED, None)
    assert (job.current_epoch, job.progress_percent, job.best_epoch) == (4, 100.0, 4)
    assert job.checkpoint_path == "checkpoints/best_model.pth"
    assert job.non_finite == {"odd": "NaN"}
    rows, total = place.stores.history.metrics(job.id)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert total == 4
    events = place.events(job)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "training:completed"
    names = {artifact.name: artifact for artifact in place.stores.history.artifacts(job.id)}
    assert {"checkpoints/best_model.pth", "checkpoints/last.pth", "checkpoints/previous.pth", "metrics.json"} <= set(
        names
    )
    final = json.loads(place.artifacts.fetch(names["metrics.json"].file).read_text())
    assert final["epoch"] == 4
    series = {one.name: one.points for one in place.stores.history.series(job.id)}
    assert series["train_loss"] == 20


def test_the_best_priority_runs_first(place: Place) -> None:
    low = place.submit(epochs=1)
    high = place.submit(epochs=1, priority=5)
    with place.working():
        low, high = place.wait(low), place.wait(high)
    assert high.started_at is not None
    assert low.started_at is not None
    assert high.started_at < low.started_at


def test_early_stop_is_a_reason_of_its_own(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=6, stop_after=2))
    assert (job.status, job.reason, job.current_epoch) == (Status.COMPLETED, Reason.EARLY_STOPPED, 2)


def test_kept_are_best_newest_two_and_every_nth(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=6, keep_every=2))
    names = {artifact.name for artifact in place.stores.history.artifacts(job.id)}
    assert {f"checkpoints/epoch_{epoch:04d}.pth" for epoch in (2, 4, 6)} <= names
    kept = {saved.epoch for saved in place.stores.attempts.checkpoints(job.id) if not saved.is_deleted}
    assert kept == {2, 4, 5, 6}
    files = {key.split("/")[2] for key in place.artifacts.keys(job.id) if key.endswith("last.pth")}
    assert files == {"e2", "e4", "e5", "e6"}
    assert len(place.stores.attempts.checkpoints(job.id)) == 6


def test_two_loops_and_a_doubled_wake_up_start_a_job_once(place: Place, gate: Gate) -> None:
    with place.working(name="one") as one, place.working(name="two") as two:
        job = place.submit(epochs=2, gate=gate.path)
        place.wake.send(job.id, "again")
        gate.wait_for(1)
        assert len(one.pids) + len(two.pids) == 1
        gate.open(1, 2)
        job = place.wait(job)
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)


def test_what_a_job_prints_becomes_its_log(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=2, mishap="print"))
    assert job.status is Status.COMPLETED
    log = place.log(job)
    for line in [("INFO", "plain words"), ("INFO", "100%"), ("INFO", "from C code"), ("WARNING", "careful")]:
        assert log.count(line) == 1
    assert ("INFO", "no end") in log
    assert ("INFO", "x" * 8192 + CUT) in log
    assert not list((place.data_dir / "attempts").iterdir())


def test_the_process_is_titled_alone_and_tells_no_secret(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=1, gate=gate.path)
        gate.wait_for(1)
        process = psutil.Process(loop.pids[job.id])
        assert " ".join(process.cmdline()).strip() == f"heimdall run-job {job.id}"
        assert os.getsid(process.pid) == process.pid
        assert process.net_connections() == []
        open_files = {str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) for fd in (0, 1, 2)}
        assert open_files == {os.devnull, str(place.data_dir / "attempts" / f"{job.id}-1.out")}
        gate.open(1)
        assert place.wait(job).status is Status.COMPLETED


def test_a_job_waits_until_the_disk_can_hold_three_of_its_checkpoints(place: Place, gate: Gate) -> None:
    with place.working() as loop:
        job = place.submit(epochs=2, gate=gate.path)
        gate.open(1)
        gate.wait_for(2)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 1)
        with place.database.writer.begin() as connection:
            connection.execute(text("UPDATE checkpoints SET size_bytes = 1000000000000000"))
        os.kill(loop.pids[job.id], signal.SIGKILL)
        job = place.wait(job)
    assert (job.status, job.reason) == (Status.FAILED, Reason.ERROR)
    assert "free some space" in (job.error_message or "")


def test_old_checkpoints_that_cannot_be_deleted_yet_go_later(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=6, mishap="undeletable"))
    assert job.status is Status.COMPLETED
    named = {artifact.file.key for artifact in place.stores.history.artifacts(job.id)}
    assert set(place.artifacts.keys(job.id)) == named


def test_a_store_that_refuses_deletions_fails_no_job(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=6, mishap="refused_deletes"))
    assert (job.status, job.error_message) == (Status.COMPLETED, None)


def test_without_its_best_checkpoint_a_job_goes_on_and_says_so(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="damaged_best"))
    assert (job.status, job.error_message) == (Status.COMPLETED, None)
    assert any("best checkpoint is damaged" in line for line in job.warnings)


def test_the_log_is_the_same_when_it_is_stored_again(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="put_twice"))
    assert (job.status, job.error_message) == (Status.COMPLETED, None)
    assert ("WARNING", "the store was away") in place.log(job)


def test_what_a_killed_attempt_left_half_written_goes(place: Place) -> None:
    with place.working():
        job = place.submit(epochs=3, mishap="deaf", at_epoch=3, only_attempt=1)
        wait_until(lambda: place.stores.jobs.get(job.id).current_epoch == 2)
        half = place.data_dir / "artifacts" / job.id / "a1" / "e2" / f".last.pth.0{PARTIAL_SUFFIX}"
        half.write_bytes(b"half")
        pid = place.stores.attempts.attempts(job.id)[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        job = place.wait(job)
    assert (job.status, job.attempt) == (Status.COMPLETED, 2)
    assert not half.exists()


def test_the_heartbeat_has_a_connection_of_its_own(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(mishap="hold_connection"))
    assert (job.status, job.error_message) == (Status.COMPLETED, None)
