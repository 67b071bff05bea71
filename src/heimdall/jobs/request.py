"""From what a client sent to a job that can be stored."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.job import NewJob, devices_of
from heimdall.domain.plain import plain_json, whole_number
from heimdall.domain.text import cut
from heimdall.sdk.field_error import reason, sentence
from heimdall.sdk.kept_config import model_of
from heimdall.sdk.registry import spec_of
from heimdall.sdk.spec import TrainerSpec

MAX_GPUS = 1024
MAX_WARNING_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A job as asked for. `config_loc` is where the config stood in the body, for error messages."""

    kind: str = "localization"
    job_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    config_loc: tuple[str, ...] = ("config",)
    priority: int = 0
    tags: list[str] = field(default_factory=list[str])
    notes: str | None = None
    max_restarts: int = 3
    gpus: int = 0
    parent_job_id: str | None = None
    warnings: list[str] = field(default_factory=list[str])  # about how the request came to be


def validated_config(spec: TrainerSpec, config: Mapping[str, Any], loc: tuple[str, ...]) -> BaseModel:
    """The trainer's config with defaults filled in.

    Raises:
        InvalidInputError: one entry in `errors` for each bad field.
    """
    try:
        return model_of(spec.config_model, config)
    except ValidationError as error:
        entries = [
            {"loc": [*loc, *entry["loc"]], "msg": _reason(entry, spec)} for entry in error.errors(include_url=False)
        ]
        told = f"The config of kind {spec.kind!r} is not valid: {sentence(entries)}"
        raise InvalidInputError(told, entries) from None


def _reason(entry: Mapping[str, Any], spec: TrainerSpec) -> str:
    name = str(entry["loc"][0]) if entry["loc"] else ""
    similar = difflib.get_close_matches(name, spec.config_model.model_fields, n=1)
    if entry["type"] == "extra_forbidden" and len(entry["loc"]) == 1 and similar:
        return f"{reason(entry)}; did you mean {similar[0]!r}?"
    return reason(entry)


def new_job(request: JobRequest) -> NewJob:
    """Validate `request` against its trainer. Raises: InvalidInputError."""
    spec = spec_of(request.kind)
    model = validated_config(spec, request.config, request.config_loc)
    config = _stored_config(spec, model)
    job_id = str(uuid4())
    return NewJob(
        id=job_id,
        job_name=request.job_name or _readable_name(request.kind, job_id),
        kind=request.kind,
        config=config,
        total_epochs=_total_epochs(spec, model),
        priority=request.priority,
        gpus=_gpus(request.gpus, config),
        tags=list(request.tags),
        notes=request.notes,
        max_restarts=request.max_restarts,
        parent_job_id=request.parent_job_id,
        dataset_id=dataset_id if isinstance(dataset_id := config.get("dataset_id"), str) else None,
        warnings=[*request.warnings, *_warnings(spec, model)],
    )


def _stored_config(spec: TrainerSpec, model: BaseModel) -> dict[str, Any]:
    """Raises: InvalidInputError, when the job could not read it again: JSON has no infinity, for one."""
    config = model.model_dump(mode="json")
    try:
        spec.config_model.model_validate_json(to_json(config, inf_nan_mode="null"))  # as the store does
    except ValidationError as error:
        loc = [*map(str, error.errors(include_url=False)[0]["loc"])]
        told = f"The config of kind {spec.kind!r} cannot be stored: JSON cannot hold the value of {'.'.join(loc)}."
        raise InvalidInputError(told, [{"loc": ["config", *loc], "msg": "cannot be stored as JSON"}]) from None
    return config


def _total_epochs(spec: TrainerSpec, model: BaseModel) -> int:
    """Raises: InvalidInputError."""
    try:
        return whole_number("it", spec.total_epochs(model))
    except Exception as error:  # noqa: BLE001 - a trainer's own code
        message = f"The trainer {spec.kind!r} gives no number of epochs for this config: {_text(error)}"
        raise InvalidInputError(message) from None


def _warnings(spec: TrainerSpec, model: BaseModel) -> list[str]:
    try:
        return [cut(str(plain_json(line)), MAX_WARNING_CHARS) for line in spec.warnings(model)]
    except Exception as error:  # noqa: BLE001 - a trainer's own code
        return [f"The trainer {spec.kind!r} could not check this config: {_text(error)}"]


def _text(error: Exception) -> str:
    text = str(plain_json(error))
    return cut(text if type(error) in {TypeError, ValueError} else f"{type(error).__name__}: {text}", MAX_WARNING_CHARS)


def _gpus(asked: int, config: Mapping[str, Any]) -> int:
    """How many GPUs a job must be given: as many as its config trains on, or more when more are asked for.

    Raises: InvalidInputError, when fewer are asked for.
    """
    devices = devices_of(config)
    needs_gpu = config.get("accelerator") == "gpu"
    if 0 < asked < devices and (needs_gpu or config.get("accelerator") == "auto"):
        message = (
            f"The job trains on {devices} devices and asks for {asked} GPU(s); ask for {devices} or more, or for 0"
        )
        raise InvalidInputError(f"resources.gpus: {message}.", [{"loc": ["resources", "gpus"], "msg": message}])
    if needs_gpu and devices > MAX_GPUS:
        message = f"must be at most {MAX_GPUS} where the accelerator is gpu"
        raise InvalidInputError(f"config.devices: {message}.", [{"loc": ["config", "devices"], "msg": message}])
    return max(asked, devices) if needs_gpu else asked


def asked_gpus(gpus: int, config: Mapping[str, Any]) -> int:
    """What was asked for beside the config: 0 when a job's number of GPUs follows from that."""
    return 0 if config.get("accelerator") == "gpu" and gpus == devices_of(config) else gpus


def _readable_name(kind: str, job_id: str) -> str:
    return f"{kind} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {job_id[:4]}"
