"""Finds trainers by the entry points of the group `heimdall.trainers`."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.text import clean, cut
from heimdall.sdk.context import TrainingContext
from heimdall.sdk.spec import TrainerSpec

GROUP = "heimdall.trainers"
OURS = "heimdall.trainers."  # where the specs of the trainers are that come with Heimdall
MAX_REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Trainers:
    """`specs` by kind, sorted; `left_out` says why by entry point (`module:object`): one bad spec harms no other."""

    specs: Mapping[str, TrainerSpec]
    left_out: Mapping[str, str]


class SpecRefusedError(Exception):
    """An entry point whose object cannot be used; the message says why."""


@cache
def find_trainers() -> Trainers:
    """Every installed trainer's spec. Loads no trainer."""
    found: dict[str, TrainerSpec] = {}
    left_out: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.value):
        try:
            found[point.value] = _load(point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module of anybody may raise anything
            left_out[point.value] = _reason(error)
    left_out |= _doubles(found)
    kept = [spec for name, spec in found.items() if name not in left_out]
    return Trainers({spec.kind: spec for spec in sorted(kept, key=lambda spec: spec.kind)}, left_out)


def specs() -> Mapping[str, TrainerSpec]:
    """Those of `find_trainers`."""
    return find_trainers().specs


def _load(point: EntryPoint) -> TrainerSpec:
    """Raises: anything that its module raises; SpecRefusedError."""
    spec: Any = point.load()
    if not isinstance(spec, TrainerSpec):
        raise SpecRefusedError(f"it is not a TrainerSpec but {type(spec).__name__}")
    for name in ("kind", "title", "description", "run"):
        if not isinstance(getattr(spec, name), str) or not getattr(spec, name):
            raise SpecRefusedError(f"its {name} must be a text that is not empty")
    given: tuple[Any, Any] = (spec.preload, spec.config_model)
    preload, model = given
    if isinstance(preload, str) or not all(isinstance(module, str) for module in preload):
        raise SpecRefusedError("its preload must be a tuple of module names")
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise SpecRefusedError("its config_model must be a Pydantic model class")
    if not point.value.startswith(OURS):
        model.model_json_schema()  # GET /trainers shows it
    return spec


def _doubles(found: Mapping[str, TrainerSpec]) -> dict[str, str]:
    """Specs whose kind another one has too: which is meant cannot be known, except that ours stays."""
    ours = {spec.kind for name, spec in found.items() if name.startswith(OURS)}
    counts = Counter(spec.kind for spec in found.values())
    refused: dict[str, str] = {}
    for name, spec in found.items():
        if spec.kind in ours and not name.startswith(OURS):
            refused[name] = f"the kind {spec.kind!r} is that of a trainer of Heimdall's own; choose another"
        elif spec.kind not in ours and counts[spec.kind] > 1:
            others = [other for other, same in found.items() if same.kind == spec.kind and other != name]
            refused[name] = f"{', '.join(others)} has the kind {spec.kind!r} too; rename or uninstall one of them"
    return refused


def _reason(error: BaseException) -> str:
    if isinstance(error, SpecRefusedError):
        return str(error)
    try:
        text = " ".join("".join(char if char.isprintable() else " " for char in str(error)).split())
    except Exception:  # noqa: BLE001 - the error is somebody else's too
        text = ""
    text = text.partition(" For further information visit ")[0]  # Pydantic's address of a page
    return cut(clean(f"{type(error).__name__}: {text}" if text else type(error).__name__), MAX_REASON_CHARS)


def spec_of(kind: str) -> TrainerSpec:
    """The spec of `kind`.

    Raises:
        InvalidInputError: no such trainer is installed.
    """
    trainers = find_trainers()
    known = trainers.specs
    if kind not in known:
        left_out = "".join(f" Left out: {name} ({reason})." for name, reason in trainers.left_out.items())
        message = (
            f"There is no trainer of kind {kind!r}; installed: {', '.join(known) or 'none'}.{left_out} "
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
