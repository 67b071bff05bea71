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
    """

    kind: str
    title: str
    description: str
    config_model: type[BaseModel]
    run: str
    preload: tuple[str, ...] = ()
    needs_dataset: bool = False
    makes_dataset: bool = False
    total_epochs: Callable[[Any], int] = lambda config: int(getattr(config, "epochs", 0))
    warnings: Callable[[Any], list[str]] = lambda config: []  # what to tell the user about a valid config
