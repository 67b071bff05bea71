"""A trainer of kind `act` that does one odd thing in each of its epochs: what `ACTS` holds under its config's `act`."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from pydantic import BaseModel

from heimdall.sdk import EpochReport, TrainerSpec, TrainingContext

ACTS: dict[str, Callable[[TrainingContext], object]] = {}


class ActConfig(BaseModel):
    act: str
    epochs: int = 2


SPEC = TrainerSpec(
    kind="act", title="Act", description="Does odd things.", config_model=ActConfig, run="tests.worker.acts:run"
)


def run(context: TrainingContext) -> None:
    config = ActConfig.model_validate(dict(context.config))
    context.checkpoint_to_load()
    context.started(dataset_size=8, train_samples=8, val_samples=0, model_architecture=None)
    context.set_phase("training")
    for epoch in range(1, config.epochs + 1):
        context.raise_if_stopped()
        ACTS[config.act](context)
        context.log({"train_loss": 1 / epoch}, epoch)
        context.finish_epoch(report(epoch))
    context.drain()


def report(epoch: Any, **changes: Any) -> EpochReport:
    fields: dict[str, Any] = {
        "epoch": epoch,
        "step": epoch,
        "metrics": {"train_loss": 0.5, "val_loss": 0.5},
        "is_best": True,
        "best_epoch": epoch,
        "best_value": 0.5,
        "keep": False,
        "write_checkpoint": write_checkpoint,
    }
    return EpochReport(**{**fields, **changes})


def write_checkpoint(file: BinaryIO) -> None:
    file.write(b"{}")


def act(function: Callable[[TrainingContext], object]) -> Callable[[TrainingContext], object]:
    ACTS[function.__name__] = function
    return function


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@act
def raise_from_itself(context: TrainingContext) -> NoReturn:
    try:
        raise ValueError("round and round")
    except ValueError as error:
        raise error from error


@act
def raise_in_a_circle(context: TrainingContext) -> NoReturn:
    first, second = ValueError("round and round"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    raise first


@act
def raise_unprintable(context: TrainingContext) -> NoReturn:
    raise UnprintableError


@act
def raise_group(context: TrainingContext) -> NoReturn:
    raise BaseExceptionGroup("two went wrong", [KeyboardInterrupt(), ValueError("inner")])


@act
def raise_memory_in_group(context: TrainingContext) -> NoReturn:
    raise ExceptionGroup("tasks", [ValueError("other"), MemoryError()])


@act
def be_cancelled_by_asyncio(context: TrainingContext) -> NoReturn:
    raise asyncio.CancelledError


@act
def raise_five_megabytes(context: TrainingContext) -> NoReturn:
    raise RuntimeError("size mismatch " * 400_000)


@act
def exit_with_one(context: TrainingContext) -> NoReturn:
    sys.exit(1)


@act
def exit_with_text(context: TrainingContext) -> NoReturn:
    sys.exit("no samples left")


@act
def exit_with_zero(context: TrainingContext) -> NoReturn:
    context.finish_epoch(report(1))
    sys.exit(0)


@act
def exit_with_nothing(context: TrainingContext) -> NoReturn:
    context.finish_epoch(report(1))
    sys.exit()
