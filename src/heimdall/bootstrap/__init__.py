"""Puts the parts together. Each entry point loads only what it needs, hence the imports inside functions:
what the command line imports at its top is imported again in every job's process.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fastapi import FastAPI

    from heimdall.domain.removal import Removal
    from heimdall.jobs.tokens import TokenService
    from heimdall.settings import Settings
    from heimdall.worker.verification import Verdict


def load_settings(**flags: Any) -> "Settings":
    """Settings from flags (None: not given), the environment and the files of settings.

    Raises:
        InvalidInputError: a value that cannot be used; the message names it.
    """
    from heimdall.bootstrap.configuration import load

    return load(flags)


def load_client_settings(**flags: Any) -> "Settings":
    """For a command that only calls a service: nothing of the working folder says which, or what it is sent.

    Raises: InvalidInputError.
    """
    from heimdall.bootstrap.configuration import load
    from heimdall.settings import ClientSettings

    return load(flags, ClientSettings)


def up(settings: "Settings") -> int:
    """API and slots loop in one process, until a signal. The exit code."""
    from heimdall.bootstrap.server import run_up

    return run_up(settings)


def serve(settings: "Settings") -> int:
    """One API process of several, until a signal. The exit code."""
    from heimdall.bootstrap.server import run_serve

    return run_serve(settings)


def worker(settings: "Settings") -> int:
    """One worker of several, until a signal. The exit code."""
    from heimdall.bootstrap.worker import run_worker

    return run_worker(settings)


def build_app(settings: "Settings") -> "FastAPI":
    """The ASGI application with everything behind it; its lifespan starts and stops the slots loop."""
    from heimdall.bootstrap.server import build_app as build

    return build(settings)


def run_job_by_hand(settings: "Settings", job_id: str) -> int:
    """`heimdall run-job ID`: claim this queued job and run it in this process. The exit code."""
    from heimdall.bootstrap.job import run_by_hand

    return run_by_hand(settings, job_id)


def open_tokens(settings: "Settings", *, may_create: bool = False) -> "AbstractContextManager[TokenService]":
    """The installation's tokens, opened as a context. `may_create`: an installation in a place that was named, too."""
    from heimdall.bootstrap import access

    return access.open_tokens(settings, may_create=may_create)


def migrate(settings: "Settings") -> str:
    """Bring the database up to date; the revision it is at now."""
    from heimdall.bootstrap.installation import migrate_database

    return migrate_database(settings)


def copy_database(settings: "Settings", target_url: str, report: "Callable[[str, int], None]") -> dict[str, int]:
    """Copy the installation's database into an empty one; rows by table."""
    from heimdall.store import copy_database as copy

    return copy(settings.resolved_database_url, target_url, report)


def collect_garbage(settings: "Settings", *, hours: float, has_unknown: bool, is_dry_run: bool) -> "list[Removal]":
    """Remove files that nothing needs and that are older than `hours`; what was removed. Raises: HeimdallError."""
    from datetime import timedelta

    from heimdall.bootstrap.garbage import collect_garbage as collect

    return collect(settings, age=timedelta(hours=hours), has_unknown=has_unknown, is_dry_run=is_dry_run)


def doctor(settings: "Settings") -> list[dict[str, Any]]:
    """What is well and what is not: `{"check", "ok", "detail"}` each."""
    from heimdall.bootstrap.examination import examine

    return examine(settings)


def verify(settings: "Settings", word: str, after_epoch: int | None) -> "Verdict":
    """Run the epoch after a checkpoint of the job that `word` names again and compare. Raises: HeimdallError."""
    from heimdall.bootstrap.job import verify_epoch

    return verify_epoch(settings, word, after_epoch)
