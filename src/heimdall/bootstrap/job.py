"""A job's process: opens its own connections and runs one attempt."""

import os
import socket
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from heimdall.bootstrap.changes import change_signal, open_publisher
from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.data_folder import require_existing
from heimdall.bootstrap.installation import open_artifacts
from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.errors import ConflictError
from heimdall.domain.job import Job
from heimdall.domain.naming import NamedJob, check_word, is_named, the_only_one
from heimdall.domain.ports import JobStore
from heimdall.domain.records import JobFilter
from heimdall.settings import JobSettings, Settings, variables_of_settings
from heimdall.store import Database, open_database, open_stores, prepare
from heimdall.worker.host import this_host
from heimdall.worker.processes import JOB_ENVIRONMENT
from heimdall.worker.ranks import is_follower
from heimdall.worker.run import run_attempt

LAST_EVENTS_SECONDS = 1.0

if TYPE_CHECKING:
    from heimdall.worker.verification import Verdict

MAX_GPUS = 1024
PAGE_JOBS = 500


def run_claimed(payload: dict[str, Any]) -> NoReturn:
    """Called in the forked process with what the slots loop claimed."""
    settings = load({}, JobSettings)
    _forget_settings()
    _run(settings, payload["job_id"], payload["token"], payload["threads"])


def run_by_hand(settings: Settings, job_id: str) -> NoReturn:
    """Claim one queued job and run it here, in the foreground. Under torchrun only the first process does; the others
    are told by it what to do.

    Raises:
        NotFoundError: there is no such job, or no database.
        ConflictError: it is not queued.
    """
    os.environ.update(JOB_ENVIRONMENT)
    _forget_settings()
    if is_follower():
        import_module("heimdall.worker.rank_context").follow()  # loads torch, so no earlier
    database = open_existing(settings)
    stores = open_stores(database)
    name = f"{socket.gethostname()}-by-hand-{os.getpid()}"
    worker = WorkerInfo(name=name, host=this_host(), slots=1)
    job = stores.attempts.claim(worker, free_gpus=MAX_GPUS, job_id=job_id)  # who runs it by hand has chosen where
    if job is None:
        raise ConflictError.of("run", stores.jobs.get(job_id).status, ["queued"])
    database.close()
    _run(settings, job.id, job.lease_token or "", os.cpu_count() or 1)


def _forget_settings() -> None:
    """They are read: what a trainer prints, logs or hands to a process of its own must not hold a password."""
    for name in variables_of_settings():
        del os.environ[name]


def verify_epoch(settings: Settings, word: str, after_epoch: int | None) -> "Verdict":
    os.environ.update(JOB_ENVIRONMENT)
    _forget_settings()
    stores = open_stores(open_existing(settings))
    job = find_job(stores.jobs, word)
    # Loaded by name and only now: it loads torch, which must find the environment of a job.
    verification = import_module("heimdall.worker.verification")
    cache = settings.data_dir.resolve() / "cache"
    return verification.verify(job, stores, open_artifacts(settings), cache=cache, after_epoch=after_epoch)


def open_existing(settings: Settings) -> Database:
    """The database of a service that has run. Raises: NotFoundError; HeimdallError when it cannot be used."""
    require_existing(settings)
    prepare(settings.resolved_database_url, mode="create_only")
    return open_database(settings.resolved_database_url)


def find_job(jobs: JobStore, word: str) -> Job:
    """The job with this id, name, or beginning of an id.

    Raises: NotFoundError; InvalidInputError (several, or an empty word).
    """
    check_word(word, "job")
    query = JobFilter(q=word, limit=PAGE_JOBS)  # also finds the word in notes and in the midst of names
    page = jobs.page(query)
    listed = page.jobs
    while page.next_cursor is not None:
        page = jobs.page(replace(query, cursor=page.next_cursor))
        listed += page.jobs
    named = [
        NamedJob(job.id, job.job_name, job.status.value, job.created_at.isoformat())
        for job in listed
        if is_named(word, job.id, job.job_name)
    ]
    return jobs.get(the_only_one(word, named).id)


def _run(settings: Settings, job_id: str, token: str, threads: int) -> NoReturn:
    publisher = open_publisher(settings)
    url = settings.resolved_database_url
    run_attempt(
        job_id,
        token,
        stores=open_stores(open_database(url, publish=publisher.publish, has_one_connection=True)),
        heartbeat_stores=open_stores(open_database(url, has_one_connection=True)),
        artifacts=open_artifacts(settings),
        changes=change_signal(settings),
        data_dir=Path(settings.data_dir).resolve(),
        threads=threads,
        before_exit=lambda: publisher.close(LAST_EVENTS_SECONDS),
    )
