"""A trainer of kind `act`: in each of its epochs (once, if it has none) it does what `ACTS` has under its `act`."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np
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
    if not config.epochs:
        ACTS[config.act](context)
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


@act
def report_of_numpy(context: TrainingContext) -> None:
    context.log({"loss": cast("Any", np.float32(0.5))}, cast("Any", np.int64(3)))
    context.finish_epoch(
        report(
            np.int64(1),
            step=np.int32(7),
            metrics={"val_loss": np.float32(0.25), "good": np.bool_(True), "bad": "text", "epoch": 99.0, 3: 1.0},
            is_best=np.bool_(True),
            best_epoch=np.int64(1),
            best_value=np.float32(0.25),
            manifest={"seed": np.int64(3), "caf\udce9": [np.zeros(2), {1}]},
        )
    )


@act
def log_wrongly(context: TrainingContext) -> None:
    wrong: Any = {"loss": "much", "caf\udce9": 1.0, "": 2.0, "right": 3.0}
    for step in (-1, 1.5, 1 << 63, None, 5):
        context.log(wrong, cast("Any", step))
    context.set_phase("dancing")
    context.progress(cast("Any", "many"), 3, "a\0b")


@act
def warn_without_end(context: TrainingContext) -> None:
    for number in range(300):
        context.warn(f"warning {number} " + "x" * 5000)


@act
def report_nan(context: TrainingContext) -> None:
    context.finish_epoch(report(1, metrics={"val_loss": float("nan")}))


@act
def report_text_for_epoch(context: TrainingContext) -> None:
    context.finish_epoch(report("one"))
