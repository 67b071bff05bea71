"""A trainer with metric names of its own, installed beside a real service: its numbers show everywhere."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from heimdall.sdk import TrainerSpec
from heimdall.trainers.synthetic.spec import GenerateConfig
from tests.cli.conftest import Terminal
from tests.cli.screen import AtTerminal
from tests.e2e.service import HEIMDALL, RunningService

SPEC = """
from pydantic import BaseModel
from heimdall.sdk import TrainerSpec


class Config(BaseModel):
    epochs: int = 4


SPEC = TrainerSpec(kind="squares", title="Squares", description="d", config_model=Config, run="squares.train:run",
                   best_metric="mse")
"""
TRAIN = """
from heimdall.sdk import EpochReport

MSE = [0.5, 0.25, 0.125, 0.375]


def run(context):
    context.checkpoint_to_load()
    context.started(dataset_size=0, train_samples=0, val_samples=0, model_architecture=None)
    context.set_phase("training")
    for epoch, mse in enumerate(MSE, 1):
        report = EpochReport(
            epoch=epoch,
            step=epoch,
            metrics={"mse": mse, "r2": 1 - mse, "\\x1b[2Jodd": 1.0},
            is_best=epoch <= 3,
            best_epoch=min(epoch, 3),
            best_value=min(MSE[:epoch]),
            keep=False,
            write_checkpoint=lambda file: file.write(b"{}"),
        )
        context.finish_epoch(report)
    context.drain()
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that has the trainer, and a job named `own` that it completed."""
    folder = tmp_path_factory.mktemp("own")
    package, info = folder / "installed/squares", folder / "installed/squares-1.dist-info"
    for made in (package, info):
        made.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "spec.py").write_text(SPEC)
    (package / "train.py").write_text(TRAIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: squares\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[heimdall.trainers]\nsquares = squares.spec:SPEC\n")
    service = RunningService(folder / "data", environment={"PYTHONPATH": str(package.parent)}).start()
    job = service.wait_ended(service.submit({}, kind="squares", job_name="own"))
    assert job["status"] == "completed", job["error_message"]
    yield service
    assert service.close() == 0


def test_in_a_pipe(own: RunningService, heimdall: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_URL", own.url)
    followed = heimdall("submit", "--kind", "squares", "--name", "followed", "--follow").out.splitlines()
    assert [line for line in followed if line.startswith("epoch 3/4  mse 0.125  r2 0.875")]
    assert re.fullmatch(r"completed \(finished\) after \d:\d\d, best mse 0.125 \(epoch 3\)", followed[-1])

    table = [line.split("\t") for line in heimdall("metrics", "own").out.splitlines()]
    assert table[0][:3] == ["epoch", "mse", "r2"]
    assert [row[1] for row in table[1:]] == ["0.5", "0.25", "0.125", "0.375"]
    assert "val_loss" in table[0]  # a pipe has every column

    (row,) = [line for line in heimdall("ls").out.splitlines() if "\town\t" in line]
    assert "\tmse 0.125\t" in row
    shown = dict(line.split("\t", 1) for line in heimdall("show", "own").out.splitlines())
    assert (shown["best"], shown["metrics.r2"]) == ("mse 0.125 (epoch 3)", "0.625")
    assert heimdall("ls").out.count("\x1b") == heimdall("show", "own").out.count("\x1b") == 0
    (info,) = [one for one in json.loads(heimdall("trainers", "--json").out) if one["kind"] == "squares"]
    assert info["best_metric"] == "mse"


@pytest.mark.parametrize("columns", [60, 80, 110])
def test_on_a_terminal(own: RunningService, columns: int) -> None:
    def shown(*words: str) -> str:
        with AtTerminal([HEIMDALL, *words, "--url", own.url], columns) as terminal:
            terminal.read_to_end()
            assert b"\x1b[2J" not in terminal.shown
            return terminal.screen.text

    assert re.match(r"epoch +mse +r2 ", shown("metrics", "own"))
    assert "train_loss" not in shown("metrics", "own")  # it holds nothing
    assert re.search(r"own +completed +4/4 +mse 0.125", shown("ls"))
    watched = shown("submit", "--kind", "squares", "--follow")
    epochs = re.findall(r"^epoch (\d)/4  (best|    )  mse (\S+) +r2", watched, re.MULTILINE)
    assert epochs == [
        ("1", "best", "0.5000"),
        ("2", "best", "0.2500"),
        ("3", "best", "0.1250"),
        ("4", "    ", "0.3750"),
    ]
    assert "best mse 0.125 (epoch 3)" in watched


def test_the_localisers_error_shows_at_80_columns(service: RunningService, finished_job: dict[str, Any]) -> None:
    with AtTerminal([HEIMDALL, "metrics", "finished", "--url", service.url], 80) as terminal:
        assert terminal.read_to_end() == 0
        lines = terminal.screen.text.strip().splitlines()
    assert lines[0].split()[:4] == ["epoch", "train_loss", "val_loss", "val_rmse"]
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert lines[3].startswith("Not shown in 80 columns: ")


@pytest.mark.parametrize("metric", ["", " ", 5])
def test_a_best_metric_is_a_name(metric: Any) -> None:
    with pytest.raises(ValueError, match="best_metric of odd must be the name of a metric"):
        TrainerSpec(kind="odd", title="", description="", config_model=GenerateConfig, run="a:b", best_metric=metric)
