"""The command that proves a job's training."""

from dataclasses import asdict
from typing import Annotated

import typer

from heimdall.cli.exits import ExitCode
from heimdall.cli.options import AsJson, DatabaseUrl, DataDir, JobRef

Epoch = Annotated[
    int | None,
    typer.Option(min=0, help="Run the epoch after this one's checkpoint; 0: the first. Else the newest possible."),
]


def verify(
    job: JobRef,
    *,
    epoch: Epoch = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run an epoch of a job again, here and now, and compare it bit for bit; exit code 1 when it differs."""
    import sys

    from heimdall import bootstrap
    from heimdall.cli.output import clean, print_json, say

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    verdict = bootstrap.verify(settings, job, epoch)
    for warning in verdict.warnings:
        print(clean(f"heimdall: {warning}"), file=sys.stderr)
    if as_json:
        print_json({**asdict(verdict), "identical": verdict.difference is None})
    else:
        say(str(verdict))
    if verdict.difference is not None:
        raise typer.Exit(ExitCode.FAILED)
