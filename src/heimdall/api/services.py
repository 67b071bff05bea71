"""What the surface is given by whoever assembles the process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.ports import AttemptStore, HistoryStore
from heimdall.domain.signals import ChangeSignal
from heimdall.jobs.datasets import DatasetService
from heimdall.jobs.service import JobService
from heimdall.jobs.tokens import TokenService
from heimdall.sdk.spec import TrainerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """`down`: without these parts this process cannot serve; `degraded`: it serves, with less."""

    down: list[str] = field(default_factory=list[str])
    degraded: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """`measures` are further Prometheus samples by full name; a name that ends in `_total` is a counter."""

    jobs: JobService
    datasets: DatasetService
    tokens: TokenService
    history: HistoryStore
    attempts: AttemptStore
    artifacts: ArtifactStore
    signal: ChangeSignal
    specs: Callable[[], Mapping[str, TrainerSpec]]
    counts: Callable[[], Mapping[str, int]]
    readiness: Callable[[], Readiness]
    left_out: Callable[[], Mapping[str, str]] = dict  # trainers that cannot be used, and why
    measures: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """A limit of 0 is none; requests count by token, or by peer where there is none."""

    version: str
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    trusted_proxies: str = ""
    max_body_bytes: int = 1024 * 1024
    requests_per_minute: int = 0
    failed_logins_per_minute: int = 0


async def api_services(connection: HTTPConnection) -> ApiServices:
    return connection.app.state.services


Services = Annotated[ApiServices, Depends(api_services)]
