"""Finds trainers by the entry points of the group `heimdall.trainers`."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from heimdall.domain.errors import InvalidInputError
from heimdall.sdk.context import TrainingContext
from heimdall.sdk.spec import TrainerSpec

GROUP = "heimdall.trainers"


@cache
def specs() -> Mapping[str, TrainerSpec]:
    """Every installed trainer's spec by kind, sorted. Loads no trainer."""
    found: list[Any] = [point.load() for point in entry_points(group=GROUP)]
    for spec in found:
        if not isinstance(spec, TrainerSpec):
            raise TypeError(f"entry point of {GROUP} is not a TrainerSpec: {spec!r}")
    return {spec.kind: spec for spec in sorted(found, key=lambda spec: spec.kind)}


def spec_of(kind: str) -> TrainerSpec:
    """The spec of `kind`.

    Raises:
        InvalidInputError: no such trainer is installed.
    """
    known = specs()
    if kind not in known:
        message = (
            f"There is no trainer of kind {kind!r}; installed: {', '.join(known) or 'none'}. "
            "Install the package of a new one into the same environment and start the service again."
        )
        raise InvalidInputError(message, [{"loc": ["kind"], "msg": message}])
    return known[kind]


def load_run(spec: TrainerSpec) -> Callable[[TrainingContext], None]:
    """Import the trainer itself. Only a job's process does this."""
    return load_function(spec.run)


def load_function(name: str) -> Callable[[TrainingContext], None]:
    """What `module:function` names."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)
