"""Commands that are a process of the service: up, serve, worker, run-job."""

from typing import Annotated

import typer

from heimdall.cli.options import DatabaseUrl, DataDir, Host, Port, Slots


def up(
    *,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    slots: Slots = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Start everything on this machine: the API and the loop that runs jobs."""
    from heimdall import bootstrap

    settings = bootstrap.load_settings(host=host, port=port, data_dir=data_dir, slots=slots, database_url=database_url)
    raise typer.Exit(bootstrap.up(settings))


def serve() -> None:
    """One API process of a cluster. Not in this version: it refuses and names `up`."""
    _refuse("serve")


def worker() -> None:
    """One worker of a cluster. Not in this version: it refuses and names `up`."""
    _refuse("worker")


def _refuse(command: str) -> None:
    from heimdall.domain.errors import InvalidInputError

    raise InvalidInputError(
        f"`heimdall {command}` is for several machines with a message broker, which this version does not support; "
        "`heimdall up` runs the API and jobs on one machine."
    )


def run_job(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Whole id of a queued job.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Claim one queued job and run it in this very process."""
    from heimdall import bootstrap

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    raise typer.Exit(bootstrap.run_job_by_hand(settings, job_id))
