"""The learning rate of an epoch, and what decides about stopping: pure functions and four numbers."""

from dataclasses import dataclass, replace
from math import ceil, cos, pi
from typing import Literal, Protocol

LAST_SHARE = 0.01  # cosine ends at this share of the highest learning rate
STEP_FACTOR = 0.1
PLATEAU_FACTOR = 0.5
PLATEAU_PATIENCE_WITHOUT_EARLY_STOP = 5


class ScheduleConfig(Protocol):
    """The fields of a trainer's config that decide about learning rate and stopping."""

    @property
    def epochs(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def lr_scheduler(self) -> Literal["cosine", "step", "plateau"]: ...
    @property
    def warmup_epochs(self) -> int: ...
    @property
    def early_stop_patience(self) -> int: ...
    @property
    def early_stop_delta(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """All that the loop remembers beside weights and optimizer: `scheduler_state_dict` of a checkpoint."""

    best_value: float | None = None
    best_epoch: int | None = None
    epochs_without_improvement: int = 0
    plateau_reductions: int = 0

    def after(self, value: float, epoch: int, config: ScheduleConfig) -> "Tally":
        """The tally once `epoch` ended with the loss `value` (NaN never improves).

        The best model needs a strictly lower loss, so ties keep the earlier epoch; patience needs one lower by more
        than `early_stop_delta`.
        """
        best = self.best_value
        bad = (
            0
            if value < (float("inf") if best is None else best - config.early_stop_delta)
            else (self.epochs_without_improvement + 1)
        )
        reductions = self.plateau_reductions
        if config.lr_scheduler == "plateau" and bad and bad % plateau_patience(config) == 0:
            reductions += 1
        tally = replace(self, epochs_without_improvement=bad, plateau_reductions=reductions)
        is_best = value < (float("inf") if best is None else best)
        return replace(tally, best_value=value, best_epoch=epoch) if is_best else tally

    def is_out_of_patience(self, config: ScheduleConfig) -> bool:
        return 0 < config.early_stop_patience <= self.epochs_without_improvement


def plateau_patience(config: ScheduleConfig) -> int:
    """Epochs without improvement after which a plateau halves the learning rate."""
    return ceil(config.early_stop_patience / 2) or PLATEAU_PATIENCE_WITHOUT_EARLY_STOP


def warmup_epochs(config: ScheduleConfig) -> int:
    return min(config.warmup_epochs, config.epochs - 1)


def learning_rate(config: ScheduleConfig, epoch: int, plateau_reductions: int) -> float:
    """Learning rate of `epoch`, counted from 1."""
    warmup = warmup_epochs(config)
    if epoch <= warmup:
        share = epoch / (warmup + 1)
    elif config.lr_scheduler == "cosine":
        share = _cosine_share(epoch - warmup, config.epochs - warmup, is_only_epoch=config.epochs == 1)
    elif config.lr_scheduler == "step":
        share = STEP_FACTOR ** (3 * (epoch - 1) // config.epochs)
    else:
        share = 1.0
    return config.learning_rate * share * PLATEAU_FACTOR**plateau_reductions


def _cosine_share(position: int, length: int, *, is_only_epoch: bool) -> float:
    """1 at the first position, LAST_SHARE at the last, which wins when they are the same epoch."""
    if is_only_epoch:
        return 1.0
    progress = (position - 1) / (length - 1) if length > 1 else 1.0
    return LAST_SHARE + (1.0 - LAST_SHARE) * (1.0 + cos(pi * progress)) / 2.0
