"""What a watcher reads in a pipe."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from heimdall.cli.event_lines import Remaining, ending_of, metrics_text
from heimdall.cli.watching import LineView
from heimdall.client.shapes import Event, Job

START = datetime(2026, 1, 1, tzinfo=UTC)


def moment(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def event(name: str, seconds: float = 0, **data: Any) -> Event:
    return {"seq": 1, "event": name, "job_id": "j", "attempt": 1, "timestamp": moment(seconds), "data": data}


def progress(epoch: int, seconds: float, *, is_best: bool = False) -> Event:
    metrics = {"train_loss": 1 / epoch, "val_loss": None, "val_rmse": 12.5}
    return event("training:progress", seconds, epoch=epoch, total_epochs=10, metrics=metrics, is_best=is_best)


def lines(capsys: pytest.CaptureFixture[str], *events: Event) -> list[str]:
    with LineView(cast("Job", {"status": "queued"}), "val_loss") as view:
        for one in events:
            view.show(one)
    return capsys.readouterr().out.splitlines()


def test_one_line_an_epoch_with_losses_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, progress(1, 10), progress(1, 10, is_best=True), progress(2, 12), progress(3, 16))
    assert shown == [
        "epoch 1/10  train_loss 1  val_rmse 12.5",
        "epoch 2/10  train_loss 0.5  val_rmse 12.5  eta 0:16",
        "epoch 3/10  train_loss 0.33333  val_rmse 12.5  eta 0:21",
    ]


def test_changes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(
        capsys,
        event("training:phase", phase="preparing_data"),
        event("training:phase", phase="training"),
        event("training:started", train_samples=80, val_samples=20),
        event("training:warning", message="odd"),
        event("training:requested", requested="pause"),
        event("training:requested", requested=None),
        event("training:completed", status="paused"),
        event("training:resumed", resume_epoch=4),
        event("training:recovered", reason="worker_lost", resume_epoch=5),
        event("dataset:generation_progress", current=5, total=9),
        event("training:completed", status="completed"),
    )
    assert shown == [
        "preparing data",
        "training on 80 samples, validating on 20",
        "warning: odd",
        "pause requested",
        "request withdrawn",
        "paused; `heimdall resume` continues it",
        "resumed, continues with epoch 4",
        "recovered (worker_lost), continues with epoch 5",
        "generating 5/9",
    ]


def test_the_pace_starts_anew_when_epochs_are_run_again() -> None:
    remaining = Remaining()
    assert remaining.after(5, 10, moment(0)) is None
    assert remaining.after(6, 10, moment(2)) == 8
    assert remaining.after(3, 10, moment(100)) is None
    assert remaining.after(4, 10, moment(101)) == 6


def test_a_pause_does_not_count_as_pace(capsys: pytest.CaptureFixture[str]) -> None:
    started = event("training:started", train_samples=80, val_samples=20)
    shown = lines(capsys, progress(1, 0), progress(2, 2), started, progress(3, 1000), progress(4, 1002))
    assert shown[-1].endswith("eta 0:12")


def test_ending() -> None:
    job: dict[str, Any] = {
        "status": "failed",
        "reason": "crashed",
        "started_at": moment(0),
        "completed_at": moment(62),
        "best_epoch": 7,
        "best_val_loss": 0.5,
        "error_message": "trainer ended with SIGSEGV in epoch 4",
    }
    assert ending_of(cast("Job", job), "mse") == (
        "failed (crashed) after 1:02, best mse 0.5 (epoch 7), trainer ended with SIGSEGV in epoch 4"
    )


def test_a_trainers_own_metrics_follow_the_losses_and_the_one_that_decides() -> None:
    metrics = {"r2": 0.9, "mse": 0.25, "val_mse": None, "train_loss": 0.5}
    assert metrics_text(metrics, "mse") == "train_loss 0.5  mse 0.25  r2 0.9"


def test_a_lost_connection_is_one_line_until_it_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    with LineView(cast("Job", {"status": "running"}), "val_loss") as view:
        for seconds_left in (35, 32, None):
            view.show_connection(seconds_left)
    assert capsys.readouterr().out.splitlines() == [
        "connection lost, trying again (giving up in 0:35)",
        "connection is back",
    ]


def test_what_a_terminal_would_obey_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, event("training:warning", message="\x1b[2J\rodd\nlast \udcff"))
    assert shown == ["warning: \\x1b[2J odd last \\udcff"]
