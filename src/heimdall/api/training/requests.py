"""Bodies that clients send. Unknown fields and wrong types are refused, nothing is converted."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.records import IdempotencyKey
from heimdall.jobs.request import JobRequest
from heimdall.sdk.spec import TrainerSpec

JobName = Annotated[str, Field(min_length=1, max_length=255)]
Priority = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=100)]
Notes = Annotated[str, Field(max_length=10_000)]
MaxRestarts = Annotated[int, Field(ge=0, le=1_000_000)]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NoFields(Strict):
    """An action that takes nothing."""


class Resources(Strict):
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0


class JobCreate(BaseModel):
    """A new job: with `config`, or in the flat form with the trainer's config fields beside the others."""

    model_config = ConfigDict(strict=True, extra="allow")

    job_name: JobName | None = None
    kind: str = "localization"
    priority: Priority = 0
    tags: Tags = []
    notes: Notes | None = None
    max_restarts: MaxRestarts = 3
    resources: Resources = Resources()
    config: dict[str, Any] = {}

    def to_request(self, specs: Mapping[str, TrainerSpec]) -> JobRequest:
        """Raises: InvalidInputError."""
        flat = self.model_extra or {}
        is_nested = "config" in self.model_fields_set
        if is_nested or self.kind in specs:
            known = set[str]() if is_nested else set(specs[self.kind].config_model.model_fields)
            _refuse_unknown(flat, known, is_nested=is_nested)
        if not is_nested and not flat:
            message = "Give the job's `config`, or its fields at the top level"
            raise InvalidInputError(f"{message}.", [{"loc": ["config"], "msg": message}])
        return JobRequest(
            kind=self.kind,
            job_name=self.job_name,
            config=self.config if is_nested else flat,
            config_loc=("config",) if is_nested else (),
            priority=self.priority,
            tags=self.tags,
            notes=self.notes,
            max_restarts=self.max_restarts,
            gpus=self.resources.gpus,
        )


def _refuse_unknown(fields: Mapping[str, Any], known: set[str], *, is_nested: bool) -> None:
    message = "Unknown field; config fields stand inside `config`" if is_nested else "Unknown field"
    errors = [{"loc": [name], "msg": message} for name in fields if name not in known]
    if errors:
        raise InvalidInputError(f"{errors[0]['loc'][0]}: {message}.", errors)


class JobChanges(Strict):
    """Fields left out stay as they are."""

    job_name: JobName = ""
    notes: Notes | None = None
    tags: Tags = []
    priority: Priority = 0

    def given(self) -> dict[str, Any]:
        """Raises: InvalidInputError when there is none."""
        changes = self.model_dump(exclude_unset=True)
        if not changes:
            message = "Give at least one of job_name, notes, tags, priority"
            raise InvalidInputError(f"{message}.", [{"loc": [], "msg": message}])
        return changes


class JobOverrides(Strict):
    """What shall differ from the job that is cloned; `config` is merged field by field."""

    job_name: JobName = ""
    priority: Priority = 0
    tags: Tags = []
    notes: Notes | None = None
    max_restarts: MaxRestarts = 3
    resources: Resources = Resources()
    config: dict[str, Any] = {}

    def given(self) -> dict[str, Any]:
        overrides = self.model_dump(exclude_unset=True)
        if "resources" in overrides:
            del overrides["resources"]
            overrides["gpus"] = self.resources.gpus
        return overrides


class ResumeFrom(Strict):
    from_: Annotated[
        Literal["pause_checkpoint", "last_good"],
        Field(alias="from", description="`last_good`: when the pause checkpoint is missing or damaged."),
    ] = "pause_checkpoint"


class Approval(Strict):
    indexes: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=100_000)]
    approved: bool


def idempotency_key(header: str | None, body: Any) -> IdempotencyKey | None:
    """`body` is the parsed JSON: the order of its keys and its white space do not count."""
    if header is None:
        return None
    canonical = json.dumps(body, sort_keys=True).encode()
    return IdempotencyKey(header, hashlib.sha256(canonical).hexdigest())
