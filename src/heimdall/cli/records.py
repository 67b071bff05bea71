"""Commands that read what a job left behind: logs, metrics, artifacts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from heimdall.cli.options import AsJson, JobRef, Url

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import LogLine

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LEVELS: tuple[str, ...] = get_args(Level)
SHOWN_METRICS = ("epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate", "gradient_norm")

artifacts = typer.Typer(help="List and fetch a job's files.", no_args_is_help=True)


def logs(
    job: JobRef,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    level: Annotated[Level | None, typer.Option(help="Only lines of this level or above.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print a job's log."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json

    with connect(url) as client:
        job_id = find_job(client, job)
        for line in _followed(client, job_id, level) if follow else _stored(client, job_id, level):
            if as_json:
                print_json(line)
            else:
                print(f"{line['time']} {line['level']:<7} {line['message']}", flush=follow)


def _stored(client: "HeimdallClient", job_id: str, level: str | None) -> "Iterator[LogLine]":
    after = 0
    while True:
        page = client.records.logs(job_id, after=after, limit=1000, level=level)
        yield from page["lines"]
        if page["next"] <= after:
            return
        after = page["next"]


def _followed(client: "HeimdallClient", job_id: str, level: str | None) -> "Iterator[LogLine]":
    least = LEVELS.index(level) if level else 0
    for event in client.records.follow(job_id, types=["training:log"]):
        for line in event["data"]["lines"]:
            if line["level"] not in LEVELS or LEVELS.index(line["level"]) >= least:
                yield line


def metrics(
    job: JobRef,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest epochs shown.")] = 100,
    csv: Annotated[bool, typer.Option("--csv", help="All epochs as CSV.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Save all epochs as .csv or .parquet.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print a job's metrics by epoch."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json, print_table

    with connect(url) as client:
        job_id = find_job(client, job)
        if output is not None:
            client.records.save_metrics(job_id, output, file_format=_format_of(output))
            print(output)
        elif csv:
            print(client.records.metrics_csv(job_id), end="")
        elif as_json:
            print_json(client.records.metrics(job_id, limit=limit))
        else:
            rows = client.records.metrics(job_id, limit=limit)
            print_table(SHOWN_METRICS, [[row.get(name) for name in SHOWN_METRICS] for row in rows])


def _format_of(path: Path) -> Literal["csv", "parquet"]:
    if path.suffix == ".csv":
        return "csv"
    if path.suffix == ".parquet":
        return "parquet"
    raise typer.BadParameter(f"{path} must end in .csv or .parquet")


@artifacts.command("ls")
def list_artifacts(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """List a job's files."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json, print_table, size_text

    with connect(url) as client:
        found = client.records.artifacts(find_job(client, job))
    if as_json:
        print_json(found)
    else:
        rows = [(one["name"], one["artifact_type"], size_text(one["size_bytes"]), one["sha256"][:12]) for one in found]
        print_table(["name", "type", "size", "sha256"], rows)


@artifacts.command("get")
def get_artifact(
    job: JobRef,
    name: Annotated[str, typer.Argument(help="As `artifacts ls` shows it.")],
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to save it; its own name here.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Fetch one file; it appears only when its checksum is right."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json

    path = output or Path(Path(name).name)
    with connect(url) as client:
        artifact = client.records.download(find_job(client, job), name, path)
    if as_json:
        print_json({**artifact, "path": str(path)})
    else:
        print(path)
