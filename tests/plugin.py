"""Installs a trainer's package, of one module each for spec and trainer, into a folder for `PYTHONPATH`."""

from pathlib import Path

SPEC = """
from pydantic import BaseModel
from heimdall.sdk import TrainerSpec
class Config(BaseModel):
    epochs: int = 1
SPEC = TrainerSpec(
    kind={kind!r}, title="t", description="d", config_model=Config, run="{package}.train:run", preload={preload!r}
)
"""

TRAIN = """
import os, subprocess
from heimdall.sdk import EpochReport
def run(context):
    context.checkpoint_to_load()
    context.started(dataset_size=0, train_samples=0, val_samples=0, model_architecture=None)
    context.set_phase("training")
    for epoch in range(1, context.config["epochs"] + 1):
        context.raise_if_stopped()
        {body}
        context.finish_epoch(EpochReport(
            epoch=epoch, step=epoch, metrics={{"train_loss": 1.0 / epoch}}, is_best=True, best_epoch=epoch,
            best_value=1.0 / epoch, keep=False, write_checkpoint=lambda file: file.write(b"{{}}")))
    context.drain()
"""


def install(
    folder: Path,
    package: str,
    *,
    kind: str | None = None,
    spec: str | None = None,
    train: str | None = None,
    body: str = "pass",
    preload: tuple[str, ...] = (),
) -> None:
    """`spec` and `train` replace the text of a module; `body` is run in each epoch. The kind is the package's name."""
    module = folder / package
    info = folder / f"{package}-1.dist-info"
    module.mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[heimdall.trainers]\n{package} = {package}.spec:SPEC\n")
    (module / "__init__.py").touch()
    (module / "spec.py").write_text(spec or SPEC.format(kind=kind or package, package=package, preload=preload))
    (module / "train.py").write_text(train or TRAIN.format(body=body))
