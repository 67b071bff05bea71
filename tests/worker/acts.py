# pyright: reportPrivateUsage=false
"""A trainer of kind `act`: in each of its epochs (once, if it has none) it does what `ACTS` has under its `act`."""

import asyncio
import logging
import os
import resource
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np
from pydantic import BaseModel

from heimdall.sdk import EpochReport, TrainerSpec, TrainingContext
from tests.worker.file_mishaps import worker_parts

ACTS: dict[str, Callable[[TrainingContext], object]] = {}


class ActConfig(BaseModel):
    act: str
    epochs: int = 2
    gate: str = ""  # a folder by which test and trainer tell each other how far they are


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
        try:
            ACTS[config.act](context)
        except ChildReturnsError:
            return
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


class ChildReturnsError(Exception):
    """A forked child returns from `run`."""


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


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@act
def close_stdout(context: TrainingContext) -> None:
    sys.stdout.close()
    sys.stderr.close()
    logging.getLogger("library").warning("%d files", "three")


@act
def remove_stdout(context: TrainingContext) -> None:
    sys.stdout = sys.stderr = cast("Any", None)


@act
def replace_stdout(context: TrainingContext) -> None:
    sys.stdout = sys.stderr = cast("Any", object())


@act
def log_badly(context: TrainingContext) -> None:
    logger = logging.getLogger("library")
    logger.warning("%d files", "three")
    logger.warning("%s", Unspeakable())
    logger.warning(cast("Any", Unspeakable()))
    logger.warning("odd", exc_info=cast("Any", (1, 2, 3)))
    logger.warning("after it")


@act
def warn_by_python(context: TrainingContext) -> None:
    warnings.warn("this is deprecated", UserWarning, stacklevel=1)


@act
def say_nasty_things(context: TrainingContext) -> None:
    name = os.fsdecode(b"caf\xe9.csv") + "\0\x1b[31m\u2028"
    logging.getLogger("library").warning("skipped %s", name)
    context.warn("skipped " + name)
    context.progress(1, 2, name)
    context.log({name: 1.0}, 1)
    context.save_artifact("caf\udce9.csv", "metrics", write_checkpoint)
    context.started(dataset_size=8, train_samples=8, val_samples=0, model_architecture=name)
    print(name)  # noqa: T201
    os.write(2, b"\xff\0raw bytes\n")


@act
def describe_itself_oddly(context: TrainingContext) -> None:
    for name in (np.zeros(3), {"layers": object}, "convnext\udce9" * 100_000):
        context.started(dataset_size=8, train_samples=8, val_samples=0, model_architecture=cast("Any", name))


@act
@act
def end_nastily(context: TrainingContext) -> NoReturn:
    context.finish_epoch(report(1, metrics={"caf\udce9": 1.0, "val_loss": 0.5}, manifest={"caf\udce9": "\0"}))
    raise ValueError(os.fsdecode(b"caf\xe9.csv") + "\0")


@act
def load_data(context: TrainingContext) -> None:
    import_module("tests.worker.loader_act").load()


@act
def fork_and_leave(context: TrainingContext) -> None:
    """Children that go on as if they were the job: one returns from `run`, one raises, one finishes an epoch."""
    folder = context.scratch()
    for way in ("return", "raise", "finish"):
        pid = os.fork()
        if pid == 0:
            if way == "finish":
                context.finish_epoch(report(1))
            if way == "return":
                raise ChildReturnsError
            raise ValueError(f"the child's own: {way}")
        _, status = os.waitpid(pid, 0)
        logging.getLogger("parent").warning("%s ended with %d", way, os.waitstatus_to_exitcode(status))
    (folder / "still here").touch()


@act
def fork_while_locked(context: TrainingContext) -> None:
    """A child that is forked while another thread is inside the writer and the log, and reports all the same."""
    writer = worker_parts(context).writer
    is_held, has_forked = Event(), Event()

    def hold() -> None:
        with writer._changed:
            is_held.set()
            has_forked.wait()

    Thread(target=hold, daemon=True).start()
    is_held.wait()
    pid = os.fork()
    if pid:
        has_forked.set()
    else:
        logging.getLogger("child").warning("said by the child")
        context.warn("the child's")
        context.log({"child": 1.0}, 1)
        os._exit(7)
    _, status = os.waitpid(pid, 0)
    logging.getLogger("parent").warning("child ended with %d", os.waitstatus_to_exitcode(status))


@act
def flood(context: TrainingContext) -> None:
    for number in range(20_000):
        print(f"line {number}")  # noqa: T201


class Expected(logging.Handler):
    """Waits for a line of the log of this process."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.has_come = Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.words in record.getMessage():
            self.has_come.set()


@act
def run_out_of_descriptors(context: TrainingContext) -> None:
    expected = Expected("Following the output or the machine failed")
    logging.getLogger().addHandler(expected)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    assert expected.has_come.wait(20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print("read afterwards")  # noqa: T201
    while not any("read afterwards" in line["message"] for line in logged(context)):
        context.raise_if_stopped()


def logged(context: TrainingContext) -> list[dict[str, Any]]:
    """The job's log so far: the reporter has read it, not the end of the attempt."""
    Event().wait(0.05)
    return worker_parts(context).stores.history.logs(context.job_id, limit=10_000)[0]


@act
def log_until_there_is_room_again(context: TrainingContext) -> None:
    """Logs while the disk is full, at the pace of the writer; the folder of the gate is on another disk."""
    gate, parts = Path(context.config["gate"]), worker_parts(context)
    parts.stores.jobs.get(context.job_id)
    (gate / "begun").touch()
    number, was_late = 0, False
    while not (was_late and not parts.writer.is_away):
        context.raise_if_stopped()
        number += 1
        print("x" * 100)  # noqa: T201 - the output is on the full disk, too
        context.log({"loss": float(number)}, number)
        waiting = len(parts.writer._spool)
        if parts.writer._spool.late_bytes:
            was_late = True
            (gate / "late").touch()
        Event().wait(0.01 if waiting else 0.02)
    (gate / "logged").write_text(str(number))


@act
def return_at_once(context: TrainingContext) -> NoReturn:
    sys.exit(0)
