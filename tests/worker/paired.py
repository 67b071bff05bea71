# pyright: reportUnknownMemberType=false
"""A small trainer on the real loop, for two processes, one of which may go wrong in the middle of it."""

import ctypes
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

from torch import Tensor, nn
from typing_extensions import override

from heimdall.sdk import TrainingContext
from heimdall.trainers.loop import Loop
from heimdall.trainers.task import Step
from tests.trainers.loop.toy import ToyConfig, ToyTask
from tests.worker.paired_spec import Mishap, PairedConfig

STEPS_AN_EPOCH = 3 + 1  # training and validation


class PairedTask(ToyTask):
    def __init__(self, context: TrainingContext, config: PairedConfig) -> None:
        super().__init__()
        self.context = context
        self.config = config
        self.rank = int(os.environ.get("RANK", "0"))
        self.num_steps = 0

    @override
    def step(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Step:
        self.num_steps += 1
        if self.config.gate is not None and self.rank == 0 and self.num_steps % STEPS_AN_EPOCH == 1:
            self.wait_for_gate(Path(self.config.gate), self.num_steps // STEPS_AN_EPOCH + 1)
        is_time = self.context.attempt == 1 and self.num_steps == STEPS_AN_EPOCH + 2
        if is_time and self.rank == self.config.at_rank:
            MISHAPS[self.config.mishap]()
        return super().step(model, batch)

    def wait_for_gate(self, gate: Path, number: int) -> None:
        """The attempt's epoch of this number begins only when there is a file {attempt}-{number}."""
        name = f"{self.context.attempt}-{number}"
        (gate / f"at-{name}").touch()
        calm = Event()
        while not (gate / name).exists():
            self.context.raise_if_stopped()
            calm.wait(0.01)


def run(context: TrainingContext) -> None:
    config = PairedConfig.model_validate(dict(context.config))
    context.started(dataset_size=26, train_samples=20, val_samples=6, model_architecture=None)
    Loop(context, ToyConfig(epochs=config.epochs, devices=config.devices), PairedTask(context, config)).run()


def carry_on() -> None:
    pass


def raise_something() -> None:
    raise ValueError("the plane is not flat")


def run_out_of_memory() -> None:
    raise MemoryError


def read_address_zero() -> None:
    ctypes.string_at(0)


MISHAPS: dict[Mishap, Callable[[], object]] = {
    "none": carry_on,
    "raise": raise_something,
    "memory": run_out_of_memory,
    "exit": lambda: os._exit(3),
    "exit_0": lambda: os._exit(0),
    "segfault": read_address_zero,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}
