"""A trainer of kind `probe`, installed as anybody's would be: what it runs is the test's."""

from pathlib import Path
from textwrap import dedent, indent

SPEC = """
from pydantic import BaseModel
from heimdall.sdk import TrainerSpec

class Config(BaseModel):
    epochs: int = 1

SPEC = TrainerSpec(kind="probe", title="Probe", description="Runs a test's lines.", config_model=Config,
                   run="probe_kind.train:run")
"""
TRAIN = """
import os, subprocess, sys
from heimdall.sdk import EpochReport

def run(context):
    context.checkpoint_to_load()
    context.started(dataset_size=0, train_samples=0, val_samples=0, model_architecture=None)
{body}
    context.finish_epoch(EpochReport(
        epoch=1, step=1, metrics={{"train_loss": 1.0, "val_loss": 1.0}}, is_best=True, best_epoch=1, best_value=1.0,
        keep=False, write_checkpoint=lambda file: file.write(b"x")))
    context.drain()
"""


def install(folder: Path, body: str) -> str:
    """The folder to have on PYTHONPATH. `body` sees `context`."""
    package, info = folder / "probe_kind", folder / "probe_kind-1.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe-kind\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[heimdall.trainers]\nprobe = probe_kind.spec:SPEC\n")
    (package / "__init__.py").write_text("")
    (package / "spec.py").write_text(SPEC)
    (package / "train.py").write_text(TRAIN.format(body=indent(dedent(body).strip("\n"), "    ")))
    return str(folder)
