"""The lease of a job: only the attempt that holds it writes what becomes of the job."""

from sqlalchemy import ColumnElement, Connection

from heimdall.domain.errors import JobNotFoundError, LeaseLostError
from heimdall.domain.job import Job, Status
from heimdall.store.change import jobs, lock_job


def leased(job_id: str, token: str) -> tuple[ColumnElement[bool], ...]:
    """The row of the job while `token` is its lease."""
    return jobs.id == job_id, jobs.status == Status.RUNNING, jobs.lease_token == token


def lock_leased(connection: Connection, job_id: str, token: str) -> Job:
    """The job of which `token` is the lease, locked. Raises: LeaseLostError."""
    try:
        job = lock_job(connection, job_id)
    except JobNotFoundError:
        raise lease_lost(job_id) from None
    if job.status is not Status.RUNNING or job.lease_token != token:
        raise lease_lost(job_id)
    return job


def lease_lost(job_id: str) -> LeaseLostError:
    return LeaseLostError(f"This attempt no longer holds training job {job_id}.")
