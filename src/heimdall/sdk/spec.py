"""What the service knows of a trainer without importing it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSpec:
    """Named by an entry point of the group `heimdall.trainers`, in a module that imports Pydantic only.

    `run` is `module:function`; only a job's process imports it and calls `function(context)`, where
    `context.config` is the validated config as a dict. `preload` are modules the fork server imports.
    `best_metric` names the metric whose value is the report's `best_value`, for people who read of the best epoch;
    None means `val_loss`, or `train_loss` where nothing is validated.
    """

    kind: str  # what a job names; unique among the installed trainers
    title: str  # a few words for lists
    description: str  # one sentence
    config_model: type[BaseModel]  # its JSON Schema is the form of a job
    run: str
    preload: tuple[str, ...] = ()
    needs_dataset: bool = False  # the code calls `context.dataset()`
    makes_dataset: bool = False  # ends with `context.publish_dataset`
    best_metric: str | None = None
    total_epochs: Callable[[Any], int] = lambda config: int(getattr(config, "epochs", 0))  # 0 for work without epochs
    warnings: Callable[[Any], list[str]] = lambda config: []  # what to tell the user about a valid config

    def __post_init__(self) -> None:
        metric = self.best_metric
        if metric is not None and (not isinstance(metric, str) or not metric.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"best_metric of {self.kind} must be the name of a metric or None, not {metric!r}.")
