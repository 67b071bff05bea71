# pyright: reportPrivateUsage=false
"""Small real trainers: gradient descent in NumPy, and ways of going wrong in the middle of it."""

import ctypes
import hashlib
import io
import json
import logging
import os
import resource
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict

from heimdall.domain.attempt import Artifact
from heimdall.domain.errors import InvalidConfigError, InvalidInputError
from heimdall.domain.ports import Stores
from heimdall.sdk import EpochReport, StopTraining, TrainerSpec, TrainingContext
from tests.worker import acts, paired_spec
from tests.worker.file_mishaps import (
    damaged_best,
    pause_meanwhile,
    put_twice,
    refuse_to_give_up,
    refused_deletes,
    undeletable,
    worker_parts,
)

Mishap = Literal[
    "none",
    "raise",
    "config",
    "exit",
    "segfault",
    "memory",
    "much_memory",
    "deaf",
    "print",
    "obey_sigterm",
    "stop_itself",
    "full_disk",
    "stop_with_lock",
    "hold_connection",
    "withdraw_late",
    "cancel_late",
    "undeletable",
    "refused_deletes",
    "damaged_best",
    "put_twice",
    "pause_meanwhile",
    "print_gpus",
]

NUM_BATCHES = 5


class DescentConfig(BaseModel):
    """`gate`: a folder; epoch N begins only when it holds a file N. The mishap happens in epoch `at_epoch`."""

    model_config = ConfigDict(extra="forbid")

    epochs: int = 4
    seed: int = 1
    gate: str | None = None
    mishap: Mishap = "none"
    at_epoch: int = 2
    only_attempt: int | None = None
    keep_every: int = 0
    stop_after: int | None = None  # stops early
    needs_dataset: bool = False
    accelerator: Literal["auto", "gpu", "cpu"] = "cpu"
    devices: int = 1
    kill_at: int = 0  # see `killing.py`


class Descent:
    """Fits a plane; epoch N depends on (seed, N) and the state after N - 1 only."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.weights = np.zeros(8)
        self.velocity = np.zeros(8)
        self.epoch = 0
        self.best = float("inf")
        self.best_epoch: int | None = None

    def batch(self, rng: np.random.Generator) -> float:
        x_bf = rng.normal(size=(64, 8))
        error_b = x_bf @ (self.weights - np.arange(8))
        self.velocity = 0.5 * self.velocity - 0.1 * (x_bf.T @ error_b) / 64
        self.weights = self.weights + self.velocity
        return float((error_b**2).mean())

    def write(self) -> Callable[[BinaryIO], None]:
        text = json.dumps(
            {
                "weights": self.weights.tolist(),
                "velocity": self.velocity.tolist(),
                "epoch": self.epoch,
                "best": self.best,
                "best_epoch": self.best_epoch,
            }
        )

        def write(file: BinaryIO) -> None:
            file.write(text.encode())

        return write

    def load(self, path: Path) -> None:
        state = json.loads(path.read_text())
        self.weights, self.velocity = np.array(state["weights"]), np.array(state["velocity"])
        self.epoch, self.best, self.best_epoch = state["epoch"], state["best"], state["best_epoch"]


def run(context: TrainingContext) -> None:
    config = DescentConfig.model_validate(dict(context.config))
    if config.needs_dataset:
        folder = context.dataset()
        assert hashlib.sha256((folder.path / "samples.bin").read_bytes()).hexdigest() == folder.sha256
    context.started(dataset_size=320, train_samples=320, val_samples=0, model_architecture="plane")
    model = Descent(config.seed)
    if config.mishap == "pause_meanwhile" and config.only_attempt == context.attempt:
        pause_meanwhile(context)
    path = context.checkpoint_to_load()
    if path is not None:
        model.load(path)
        context.took_over(epoch=model.epoch, step=model.epoch * NUM_BATCHES)
    context.set_phase("training")
    while model.epoch < config.epochs and model.epoch != config.stop_after:
        epoch = model.epoch + 1
        wait_for_gate(context, config, epoch)
        if epoch == config.at_epoch and config.only_attempt in {None, context.attempt}:
            MISHAPS[config.mishap](context)
        train(context, config, model, epoch)
        if epoch < config.epochs:
            context.pause_point()
    context.drain()
    context.save_artifact("metrics.json", "metrics", model.write())


def train(context: TrainingContext, config: DescentConfig, model: Descent, epoch: int) -> None:
    rng = np.random.default_rng([config.seed, epoch])
    loss = 0.0
    for number in range(NUM_BATCHES):
        context.raise_if_stopped()
        loss = model.batch(rng)
        context.log(
            {"train_loss": loss, "norm": float(np.linalg.norm(model.weights))}, (epoch - 1) * NUM_BATCHES + number + 1
        )
    model.epoch = epoch
    is_best = loss < model.best
    if is_best:
        model.best, model.best_epoch = loss, epoch
    write = model.write()
    if config.mishap == "full_disk" and epoch == config.at_epoch:
        write = fail_for_want_of_space
    report = EpochReport(
        epoch=epoch,
        step=epoch * NUM_BATCHES,
        metrics={"train_loss": loss, "val_loss": None, "odd": float("nan")},
        is_best=is_best,
        best_epoch=model.best_epoch,
        best_value=model.best,
        keep=config.keep_every > 0 and epoch % config.keep_every == 0,
        write_checkpoint=write,
        manifest={"epoch": epoch},
    )
    context.finish_epoch(report)


def wait_for_gate(context: TrainingContext, config: DescentConfig, epoch: int) -> None:
    if config.gate is None:
        return
    Path(config.gate, f"at-{epoch}").touch()
    calm = Event()
    while not Path(config.gate, str(epoch)).exists():
        context.raise_if_stopped()
        calm.wait(0.01)


def fail_for_want_of_space(file: BinaryIO) -> None:
    file.write(b"half of it")
    Path("/dev/full").write_bytes(b"x")


def raise_something(context: TrainingContext) -> None:
    print("about to fail")  # noqa: T201
    raise ValueError("the plane is not flat")


def refuse_config(context: TrainingContext) -> None:
    raise InvalidConfigError("This machine has no GPU.")


def exit_at_once(context: TrainingContext) -> None:
    print("leaving without a word", flush=True)  # noqa: T201
    os._exit(3)


def read_address_zero(context: TrainingContext) -> None:
    ctypes.string_at(0)


def exhaust_memory(context: TrainingContext) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 1024 * 1024, resource.RLIM_INFINITY))
    np.ones(1 << 30)


def use_much_memory(context: TrainingContext) -> None:
    """A gigabyte at most: whoever starts this must have bounded it below that."""
    held = [np.ones(1 << 20) for _ in range(128)]
    raise AssertionError(f"nobody ended it with {len(held)} blocks")


def be_deaf(context: TrainingContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Event().wait()


def obey_sigterm(context: TrainingContext) -> None:
    """Deaf to every request, but for the signal."""

    def leave(number: int, frame: object) -> None:
        print("obeying", flush=True)  # noqa: T201
        raise StopTraining

    signal.signal(signal.SIGTERM, leave)
    Event().wait()


def print_much(context: TrainingContext) -> None:
    print("plain words")  # noqa: T201
    print("0%\r50%\r100%")  # noqa: T201
    os.write(2, b"from C code\n")
    logging.getLogger("trainer").warning("careful")
    print("x" * 20_000)  # noqa: T201
    print("no end", end="")  # noqa: T201


def stop_with_lock(context: TrainingContext) -> None:
    connection = sqlite3.connect(os.environ["TEST_DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    os.kill(os.getpid(), signal.SIGSTOP)


def hold_connection(context: TrainingContext) -> None:
    """Keep the one writing connection of this process's stores busy until the heartbeat has beaten all the same."""
    parts = worker_parts(context)
    before = parts.stores.jobs.get(context.job_id).heartbeat
    calm = Event()
    with cast("Any", parts.stores.attempts)._store.database.writer.connect():
        for _ in range(300):
            if parts.stores.jobs.get(context.job_id).heartbeat >= before + 3:
                return
            calm.wait(0.01)
    raise AssertionError("the heartbeat waited for the connection")


def withdraw_late(context: TrainingContext) -> None:
    """The user takes the pause back when its checkpoint is written and its transaction is not."""
    change_mind_after_copy(context, lambda stores: stores.jobs.resume(context.job_id))


def cancel_late(context: TrainingContext) -> None:
    change_mind_after_copy(context, lambda stores: stores.jobs.cancel(context.job_id))


def change_mind_after_copy(context: TrainingContext, change_mind: Callable[[Stores], object]) -> None:
    parts = worker_parts(context)
    copy = parts.checkpoints.copy_for_pause
    once = iter([change_mind])

    def copy_and_change_mind() -> Artifact | None:
        artifact = copy()
        for change in once:
            change(parts.stores)
        return artifact

    parts.checkpoints.copy_for_pause = copy_and_change_mind


def print_gpus(context: TrainingContext) -> None:
    print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"))  # noqa: T201


def stop_itself(context: TrainingContext) -> None:
    raise StopTraining


def carry_on(context: TrainingContext) -> None:
    pass


MISHAPS: dict[Mishap, Callable[[TrainingContext], None]] = {
    "none": carry_on,
    "raise": raise_something,
    "config": refuse_config,
    "exit": exit_at_once,
    "segfault": read_address_zero,
    "memory": exhaust_memory,
    "much_memory": use_much_memory,
    "deaf": be_deaf,
    "print": print_much,
    "obey_sigterm": obey_sigterm,
    "stop_itself": stop_itself,
    "stop_with_lock": stop_with_lock,
    "full_disk": carry_on,
    "hold_connection": hold_connection,
    "withdraw_late": withdraw_late,
    "cancel_late": cancel_late,
    "undeletable": undeletable,
    "refused_deletes": refused_deletes,
    "damaged_best": damaged_best,
    "put_twice": put_twice,
    "pause_meanwhile": carry_on,
    "print_gpus": print_gpus,
}


class SamplesConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = "default"
    size: int = 100
    fails: bool = False  # and cannot even give its lease up
    gate: str | None = None
    kill_at: int = 0


def make_samples(context: TrainingContext) -> None:
    """Makes a dataset of one file."""
    config = SamplesConfig.model_validate(dict(context.config))
    context.set_phase("generating")
    folder = context.scratch()
    data = np.random.default_rng(1).bytes(config.size)
    for done in range(config.size):
        context.progress(done + 1, config.size, "samples")
        context.raise_if_stopped()
    wait_for_gate(context, DescentConfig(gate=config.gate), 0)
    if config.fails:
        refuse_to_give_up(context)
        raise ValueError("no samples today")
    buffer = io.BytesIO(data)
    (folder / "samples.bin").write_bytes(buffer.getvalue())
    context.publish_dataset(
        folder, num_samples=config.size, sha256=hashlib.sha256(data).hexdigest(), quality={"mean": 1.0}
    )


SPECS: dict[str, TrainerSpec] = {
    "descent": TrainerSpec(
        kind="descent",
        title="Descent",
        description="Fits a plane.",
        config_model=DescentConfig,
        run="tests.worker.trainers:run",
    ),
    "synthetic": TrainerSpec(
        kind="synthetic",
        title="Samples",
        description="Makes samples.",
        config_model=SamplesConfig,
        run="tests.worker.trainers:make_samples",
        makes_dataset=True,
        total_epochs=lambda config: 0,
    ),
    "paired": paired_spec.SPEC,
    "act": acts.SPEC,
}


def find_spec(kind: str) -> TrainerSpec:
    try:
        return SPECS[kind]
    except KeyError:
        raise InvalidInputError(f"There is no trainer of kind {kind!r}.") from None
