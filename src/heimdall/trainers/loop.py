# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The one training loop, shared by all gradient trainers.

A trainer gives a `Task`; the loop owns epochs, validation, learning rate, clipping, early stopping, best tracking,
checkpoints, stop requests and reporting. On several devices every rank runs this loop; rank 0 decides, counts and
reports. Nothing an epoch does depends on how it was reached: it starts from a
checkpoint's weights, optimizer and tally, and reseeds everything from (seed, epoch).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from heimdall.domain.errors import CheckpointDamagedError
from heimdall.sdk import EpochReport, StopTraining, TrainingContext
from heimdall.sdk.kept_config import read_config
from heimdall.trainers import checkpoint
from heimdall.trainers.batches import Batches, Results
from heimdall.trainers.group import Group
from heimdall.trainers.machine import describe, differences, make_repeatable, open_fabric
from heimdall.trainers.schedule import Tally, learning_rate
from heimdall.trainers.seeding import reseed
from heimdall.trainers.task import LoopConfig, Metrics, Task

logger = logging.getLogger(__name__)

ANNOUNCED_VALIDATION_SECONDS = 1.0  # a shorter validation is not worth two events an epoch

LOGGED = ("train_loss", "val_loss", "val_rmse", "learning_rate")


@dataclass(frozen=True, slots=True)
class Trained:
    """How training ended. `metrics` is the last epoch's row."""

    model: nn.Module
    device: torch.device
    epoch: int
    tally: Tally
    metrics: Metrics
    machine: Mapping[str, Any]


class Loop:
    """One attempt of one job."""

    def __init__(self, context: TrainingContext, config: LoopConfig, task: Task) -> None:
        self.context = context
        self.config = config
        self.task = task
        make_repeatable(max(1, context.threads // config.devices))
        self.fabric = open_fabric(config, context.join_ranks)
        self.group = Group(self.fabric)
        self.machine = describe(self.fabric.device, self.group.size)
        self.epoch = 0  # epochs completed
        self.tally = Tally()
        self.metrics: Metrics = {}
        self.validation_seconds = 0.0
        val_samples = task.val_samples
        self.train_batches = Batches(task.train_samples, config, self.group, shuffle=True)
        self.val_batches = None if val_samples is None else Batches(val_samples, config, self.group, shuffle=False)

    def run(self) -> Trained:
        self.prepare()
        self.context.set_phase("training")
        while self.epoch < self.config.epochs and not self.tally.is_out_of_patience(self.config):
            self.run_epoch(self.epoch + 1)
            if self.epoch < self.config.epochs and not self.tally.is_out_of_patience(self.config):
                self.context.pause_point()
        if not self.group.is_first:
            raise StopTraining  # what comes after training is rank 0's alone
        if self.epoch < self.config.epochs:
            logger.info("no improvement for %d epochs: stopped early", self.tally.epochs_without_improvement)
        self.context.drain()
        return Trained(self.model, self.fabric.device, self.epoch, self.tally, self.metrics, self.machine)

    def prepare(self) -> None:
        path = self._checkpoint_to_load()
        reseed(self.config.seed, 0)
        self.model = self.task.build_model(is_fresh=path is None).to(self.fabric.device)
        self.optimizer = self.task.build_optimizer(self.model)
        self.fabric_model, self.fabric_optimizer = self.fabric.setup(self.model, self.optimizer)
        if path is not None:
            self._take_over(checkpoint.load(path))

    def _checkpoint_to_load(self) -> Path | None:
        name = self.group.share(lambda: str(self.context.checkpoint_to_load() or ""))
        return Path(name) if name else None

    def _take_over(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointDamagedError: it belongs to another config or another model.
        """
        if self._as_today(saved["config"]) != self._as_today(self.context.config):
            raise CheckpointDamagedError(f"The checkpoint of epoch {saved['epoch']} was made with another config.")
        try:
            self.model.load_state_dict(saved["model_state_dict"])
            self.optimizer.load_state_dict(saved["optimizer_state_dict"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointDamagedError(
                f"The checkpoint of epoch {saved['epoch']} does not fit the model: {error}"
            ) from error
        if self._scaler is not None:
            self._scaler.load_state_dict(saved["scaler_state_dict"])
        self.tally = Tally(**saved["scheduler_state_dict"])
        self.epoch = saved["epoch"]
        self.metrics = saved["metrics"]
        for line in differences(saved["manifest"]["machine"], self.machine):
            self.context.warn(f"From epoch {self.epoch + 1} on this job runs on another machine: {line}.")
        self.context.took_over(epoch=self.epoch, step=saved["step"])
        logger.info("going on after epoch %d", self.epoch)

    def _as_today(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """As this release would write it: a checkpoint of an older one may hold fewer fields, or others."""
        if not isinstance(self.config, BaseModel):
            return dict(config)
        kept = read_config(type(self.config), config)
        for line in kept.warnings:
            self.context.warn(line)
        return kept.values

    @property
    def _scaler(self) -> Any | None:
        """The gradient scaler of precision 16, else None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def run_epoch(self, epoch: int) -> None:
        rate = learning_rate(self.config, epoch, self.tally.plateau_reductions)
        metrics: Metrics = {**self._train(epoch, rate), **self._validate(epoch), "learning_rate": rate}
        self.tally = Tally(**self.group.share(lambda: asdict(self._tally_after(epoch, metrics))))
        self.epoch, self.metrics = epoch, metrics
        if self.group.is_first:
            self._tell()

    def _tally_after(self, epoch: int, metrics: Metrics) -> Tally:
        value = metrics["train_loss"] if metrics["val_loss"] is None else metrics["val_loss"]
        assert value is not None
        return self.tally.after(value, epoch, self.config)

    def _tell(self) -> None:
        metrics = self.metrics
        figures = ", ".join(f"{name} {metrics[name]:.4g}" for name in LOGGED if metrics.get(name) is not None)
        logger.info("epoch %d/%d: %s", self.epoch, self.config.epochs, figures)
        self._report()

    def _train(self, epoch: int, rate: float) -> Metrics:
        reseed(self.config.seed, epoch, self.group.rank)
        self.group.share_buffers(self.model)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.fabric_model.train()
        results, norms = Results(), []
        step = (epoch - 1) * len(self.train_batches)
        for batch in self.train_batches.of_epoch(epoch, self.fabric.device):
            self.group.raise_if_stopped(self.context)
            step += 1
            self.optimizer.zero_grad()
            result = self.task.step(self.fabric_model, batch.tensors)
            self.fabric.backward(self.group.weigh(result.loss, batch.num_own, batch.num_all))
            norms.append(self._clip())
            self.fabric_optimizer.step()
            results.add(result, batch.num_own)
            # A tensor of a GPU: the context copies it without waiting for the GPU.
            loss: Any = self.group.mean(result.loss.detach(), batch.num_own, batch.num_all)
            self.context.log({"train_loss": loss, "learning_rate": rate}, step)
        outcome = results.outcome(self.group)
        if outcome is None:
            return {}
        figures = self.task.metrics("train", outcome.outputs)
        return {"train_loss": outcome.mean_loss, **figures, "gradient_norm": self._mean_norm(norms)}

    def _clip(self) -> Tensor:
        """Scale the gradients down to `max_grad_norm`; their norm before."""
        norm = self.fabric.clip_gradients(
            self.fabric_model, self.fabric_optimizer, max_norm=self.config.max_grad_norm, error_if_nonfinite=False
        )
        assert norm is not None
        return norm

    def _mean_norm(self, norms: Sequence[Tensor]) -> float:
        values = torch.stack(list(norms)).double().cpu().numpy()
        if self._scaler is not None:  # the scaler leaves out steps whose gradients overflow
            values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")

    def _validate(self, epoch: int) -> Metrics:
        if self.val_batches is None:
            return {"val_loss": None, **self.task.metrics("val", None)}
        started = time.monotonic()
        is_announced = self.validation_seconds > ANNOUNCED_VALIDATION_SECONDS
        if is_announced:
            self.context.set_phase("validating")
        reseed(self.config.seed, epoch, self.group.rank)
        self.group.share_buffers(self.model)
        self.fabric_model.eval()
        results = Results()
        with torch.no_grad():
            for batch in self.val_batches.of_epoch(epoch, self.fabric.device):
                self.group.raise_if_stopped(self.context)
                results.add(self.task.step(self.fabric_model, batch.tensors), batch.num_own)
        outcome = results.outcome(self.group)
        if outcome is None:
            return {}
        metrics = {"val_loss": outcome.mean_loss, **self.task.metrics("val", outcome.outputs)}
        if is_announced:
            self.context.set_phase("training")
        self.validation_seconds = time.monotonic() - started
        return metrics

    def _report(self) -> None:
        step = self.epoch * len(self.train_batches)
        snapshot = checkpoint.Snapshot(self._state(step), self._manifest())
        report = EpochReport(
            epoch=self.epoch,
            step=step,
            metrics=self.metrics,
            is_best=self.tally.best_epoch == self.epoch,
            best_epoch=self.tally.best_epoch,
            best_value=self.tally.best_value,
            is_last=self.epoch >= self.config.epochs or self.tally.is_out_of_patience(self.config),
            keep=self.config.keep_every > 0 and self.epoch % self.config.keep_every == 0,
            write_checkpoint=snapshot.write,
            manifest=snapshot.manifest,
        )
        self.context.finish_epoch(report)

    def _state(self, step: int) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "step": step,
            "model_state_dict": self.model.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": asdict(self.tally),
            "scaler_state_dict": {} if self._scaler is None else self._scaler.state_dict(),
            "rng": {"seed": self.config.seed, "epoch": self.epoch},
            "best_val_loss": self.tally.best_value,
            "best_epoch": self.tally.best_epoch,
            "patience_counter": self.tally.epochs_without_improvement,
            "train_loss": self.metrics["train_loss"],
            "val_loss": self.metrics["val_loss"],
            "val_rmse": self.metrics.get("val_rmse"),
            "metrics": self.metrics,
            "config": self.context.config,
        }

    def _manifest(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "seed": self.config.seed,
            "config": dict(self.context.config),
            "machine": self.machine,
        }
