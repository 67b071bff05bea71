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


def serve(*, host: Host = None, port: Port = None, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Start one API process of a cluster; jobs run in `heimdall worker`. Needs PostgreSQL."""
    from heimdall import bootstrap

    settings = bootstrap.load_settings(host=host, port=port, data_dir=data_dir, database_url=database_url)
    raise typer.Exit(bootstrap.serve(settings))


def worker(*, data_dir: DataDir = None, slots: Slots = None, database_url: DatabaseUrl = None) -> None:
    """Start one worker of a cluster: it runs the jobs that the API processes queue. Needs PostgreSQL."""
    from heimdall import bootstrap

    settings = bootstrap.load_settings(data_dir=data_dir, slots=slots, database_url=database_url)
    raise typer.Exit(bootstrap.worker(settings))


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
