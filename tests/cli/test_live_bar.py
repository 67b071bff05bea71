"""What stands on the terminal while a job is watched, at several widths, beside a real service."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.screen import AtTerminal, Screen
from tests.e2e.service import HEIMDALL, RunningService

SLOW = {"num_workers": 0, "epochs": 1000, "early_stop_patience": 0}  # does not end within a test
BAR = re.compile(r"training [━╸╺]+ +(\d+)/(\d+)")
EPOCH = re.compile(r"epoch +(\d+)/(\d+)  (best|    )  train_loss ")
CTRL_C = "\x03"


@pytest.fixture
def job_id(service: RunningService, dataset_id: str) -> Iterator[str]:
    """A job named `endless` that runs before all others, and only for one test."""
    submitted = service.submit({**SLOW, "dataset_id": dataset_id}, priority=9, job_name="endless")
    yield submitted
    service.act(submitted, "cancel")
    service.wait_ended(submitted)


def bars(screen: Screen) -> list[str]:
    return [line for line in screen.lines if "━" in line or "╺" in line]


@pytest.mark.parametrize("columns", [60, 80, 110])
def test_bar_count_and_time_left_fit_and_no_line_wraps(service: RunningService, job_id: str, columns: int) -> None:
    with AtTerminal([HEIMDALL, "watch", job_id, "--after", "0", "--url", service.url], columns) as terminal:
        screen = terminal.read_until(lambda screen: "left" in screen.text and "epoch    3/1000" in screen.text)
        (bar,) = bars(screen)
        assert BAR.search(bar), bar
        assert re.search(r"\d+/1000 +(\d+:)?\d+:\d\d left", bar), bar
        epochs = [line for line in screen.lines if line.startswith("epoch")]
        assert [EPOCH.match(line) is not None for line in epochs] == [True] * len(epochs), epochs
        assert len(set(epochs)) == len(epochs)
        assert len({line.index("val_loss") for line in epochs}) == 1
        assert any("best" in line for line in epochs)
        others = [line for line in screen.lines if line and line not in (*epochs, bar)]
        assert all(re.match(r"training on|starting|preparing|queued", line) for line in others), others
        service.act(job_id, "cancel")
        assert terminal.read_to_end() == 1
        assert not bars(terminal.screen)  # it is taken away
        assert "cancelled (cancelled_by_user) after " in terminal.screen.text


def test_a_paused_job_is_shown_as_paused(service: RunningService, job_id: str) -> None:
    with AtTerminal([HEIMDALL, "watch", job_id, "--url", service.url], 80) as terminal:
        terminal.read_until(lambda screen: " left" in screen.text)
        service.act(job_id, "pause")
        screen = terminal.read_until(lambda screen: any(line.strip().startswith("paused ━") for line in bars(screen)))
        (bar,) = bars(screen)
        assert "left" not in bar
        assert "training" not in bar
        terminal.type(CTRL_C)
        assert terminal.read_to_end() == 130
        assert "The job stays paused; `heimdall resume endless` continues it" in terminal.screen.text


def test_ctrl_c_says_what_becomes_of_the_job(service: RunningService, job_id: str) -> None:
    with AtTerminal([HEIMDALL, "watch", job_id, "--url", service.url], 110) as terminal:
        terminal.read_until(lambda screen: EPOCH.search(screen.text) is not None)
        terminal.type(CTRL_C)
        assert terminal.read_to_end() == 130
        assert not bars(terminal.screen)
        assert (
            "The job keeps running; `heimdall watch endless` shows it, `heimdall cancel endless` stops it."
            in terminal.screen.text
        )
        assert "Traceback" not in terminal.screen.text
    assert service.job(job_id)["status"] == "running"


def test_a_lost_connection_is_said_until_it_is_back(tmp_path: Path) -> None:
    service = RunningService(tmp_path / "data").start()
    try:
        config: dict[str, Any] = {**SLOW, "dataset_id": service.generate("small", 200)}
        job_id = service.submit({**config, "model_architecture": "triangulation"})
        with AtTerminal([HEIMDALL, "watch", job_id, "--url", service.url], 60) as terminal:
            terminal.read_until(lambda screen: EPOCH.search(screen.text) is not None)
            service.kill()
            screen = terminal.read_until(lambda screen: "connection lost" in screen.text)
            assert re.search(r"^connection lost, trying again \(giving up in \d:\d\d\)$", screen.text, re.MULTILINE)
            assert not bars(screen)
            service.start(warm=False)
            terminal.read_until(lambda screen: bool(bars(screen)))
            assert "connection lost" not in terminal.screen.text
    finally:
        assert service.close() == 0


def test_a_queued_job_without_epochs_shows_no_count(service: RunningService, job_id: str) -> None:
    body = {"name": "waits", "num_samples": 100_000}
    waiting = service.api.post("/synthetic/generate", json=body).json()["job_id"]
    with AtTerminal([HEIMDALL, "watch", waiting, "--url", service.url], 60) as terminal:
        screen = terminal.read_until(lambda screen: bool(bars(screen)))
        assert bars(screen)[0].strip().startswith("queued ")
        assert "None" not in screen.text
        assert "/" not in bars(screen)[0]
    service.act(waiting, "cancel")


def test_a_terminal_without_utf8_gets_a_bar_of_plain_characters(service: RunningService, job_id: str) -> None:
    words = [HEIMDALL, "watch", job_id, "--url", service.url]
    with AtTerminal(words, 60, environment={"PYTHONIOENCODING": "ascii"}) as terminal:
        screen = terminal.read_until(
            lambda screen: re.search(r"training -+ .*\d+/1000 .*left", screen.text) is not None
        )
        assert not re.search(r"\\[ux]", screen.text)
        terminal.shown.decode("ascii")
        service.act(job_id, "cancel")
        assert terminal.read_to_end() == 1


def test_logs_say_on_standard_error_that_the_server_is_away(tmp_path: Path) -> None:
    service = RunningService(tmp_path / "data").start()
    try:
        job_id = service.submit({**SLOW, "dataset_id": service.generate("small", 200)})
        with AtTerminal([HEIMDALL, "logs", "-f", job_id, "--url", service.url], 110) as terminal:
            terminal.read_until(lambda screen: "INFO" in screen.text)
            service.kill()
            terminal.read_until(lambda screen: "connection lost, trying again" in screen.text)
            service.start(warm=False)
            terminal.read_until(lambda screen: "connection is back" in screen.text)
    finally:
        assert service.close() == 0


def test_a_terminal_that_cannot_redraw_gets_lines(service: RunningService, dataset_id: str) -> None:
    config = {**SLOW, "dataset_id": dataset_id, "epochs": 2}
    job_id = service.submit(config, priority=9)
    with AtTerminal(
        [HEIMDALL, "watch", job_id, "--after", "0", "--url", service.url], 200, environment={"TERM": "dumb"}
    ) as terminal:
        assert terminal.read_to_end() == 0
        assert b"\x1b" not in terminal.shown
        assert re.search(r"^epoch 2/2  train_loss ", terminal.screen.text, re.MULTILINE)
