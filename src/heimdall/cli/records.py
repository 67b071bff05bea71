"""Commands that read what a job left behind: logs, metrics, artifacts."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from heimdall.cli.command import Command
from heimdall.cli.options import AsJson, Force, JobRef, Url

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import EpochRow, LogLine

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LEVELS: tuple[str, ...] = get_args(Level)
LAST_COLUMNS = ("gradient_norm", "duration_seconds", "attempt", "timestamp")

artifacts = typer.Typer(help="List and fetch a job's files.", no_args_is_help=True)


def logs(
    job: JobRef,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until the job ends.")] = False,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Only lines of this level or above.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print a job's log."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import print_json, say

    with connect(url) as client:
        job_id = find_job(client, job)
        for line in _followed(client, job_id, level) if follow else _stored(client, job_id, level):
            if as_json:
                print_json(line)
            else:
                say(f"{line['time']} {line['level']:<7} {line['message']}", flush=follow)


def _stored(client: "HeimdallClient", job_id: str, level: str | None) -> "Iterator[LogLine]":
    after = 0
    while True:
        page = client.records.logs(job_id, after=after, limit=1000, level=level)
        yield from page["lines"]
        if page["next"] <= after:
            return
        after = page["next"]


def _followed(client: "HeimdallClient", job_id: str, level: str | None) -> "Iterator[LogLine]":
    from heimdall.cli.watching import ConnectionLines

    least = LEVELS.index(level) if level else 0
    lines = ConnectionLines(sys.stderr)  # standard output is the log's
    for event in client.records.follow(job_id, types=["training:log"], on_connection=lines.show):
        for line in event["data"]["lines"]:
            if line["level"] not in LEVELS or LEVELS.index(line["level"]) >= least:
                yield line


def metrics(
    job: JobRef,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Newest epochs shown.")] = 100,
    csv: Annotated[bool, typer.Option("--csv", help="All epochs as CSV.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Save all epochs as .csv or .parquet.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Print a job's metrics by epoch."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import print_json, say

    if output is not None:
        check_target(output, force=force)
    with connect(url) as client:
        job_id = find_job(client, job)
        if output is not None:
            client.records.save_metrics(job_id, output, file_format=_format_of(output))
            say(str(output))
        elif csv:
            _print_csv(client.records.metrics_csv(job_id))
        elif as_json:
            print_json(client.records.metrics(job_id, limit=limit))
        else:
            _print_epochs(client, job_id, client.records.metrics(job_id, limit=limit))


def _print_epochs(client: "HeimdallClient", job_id: str, rows: "list[EpochRow]") -> None:
    """On a terminal the columns that hold anything, in a pipe all, the losses and the best metric first."""
    from heimdall.cli.best_metric import best_metric_in
    from heimdall.cli.event_lines import ordered_metrics
    from heimdall.cli.output import for_people, print_table

    best_metric = best_metric_in(client.trainers(), client.jobs.get(job_id))
    held = {name: 1 for row in rows for name, value in row.items() if value is not None}
    empty = for_people([], [name for row in rows for name in row if name not in held])
    names = [name for name in (*ordered_metrics(held, best_metric), *dict.fromkeys(empty)) if name != "epoch"]
    headings = ["epoch", *sorted(names, key=lambda name: name in LAST_COLUMNS)]
    print_table(headings, [[row.get(name) for name in headings] for row in rows])


def _print_csv(text: str) -> None:
    from heimdall.cli.output import clean, for_people

    print(for_people(clean(text.replace("\r\n", "\n")), text), end="")


def _format_of(path: Path) -> Literal["csv", "parquet"]:
    if path.suffix == ".csv":
        return "csv"
    if path.suffix == ".parquet":
        return "parquet"
    raise typer.BadParameter(f"{path} must end in .csv or .parquet")


@artifacts.command("ls", cls=Command)
def list_artifacts(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """List a job's files."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import for_people, print_json, print_table, size_text

    with connect(url) as client:
        found = client.records.artifacts(find_job(client, job))
    if as_json:
        print_json(found)
    else:
        rows = [
            (
                one["name"],
                one["artifact_type"],
                for_people(size_text(one["size_bytes"]), str(one["size_bytes"])),
                for_people(one["sha256"][:12], one["sha256"]),
            )
            for one in found
        ]
        print_table(["name", "type", "size", "sha256"], rows)


@artifacts.command("get", cls=Command)
def get_artifact(
    job: JobRef,
    name: Annotated[str | None, typer.Argument(help="As `artifacts ls` shows it.", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Fetch all files, into the folder that -o names.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to save it as (its own name, here).")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Fetch a file, or all; it appears only when its checksum is right."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import print_json, say

    if (name is None) != every:
        raise typer.BadParameter("Name one file as `heimdall artifacts ls` shows it, or give --all.")
    with connect(url) as client:
        job_id = find_job(client, job)
        listed = {artifact["name"]: artifact for artifact in client.records.artifacts(job_id)}
        targets = _targets(list(listed), name, output)
        for path in targets.values():
            check_target(path, force=force, can_make_folder=every)
        for one, path in targets.items():
            client.records.download(job_id, one, path)
            if as_json:
                print_json({**listed[one], "path": str(path)})
            else:
                say(str(path))


def _targets(listed: list[str], name: str | None, output: Path | None) -> dict[str, Path]:
    """Where each file goes: names of files to paths."""
    from heimdall.domain.errors import BadPathError, NotFoundError

    if name is not None:
        if name not in listed:
            raise NotFoundError(f"Artifact {name!r} not found; `heimdall artifacts ls` shows what there is.")
        return {name: output or Path(Path(name).name)}
    for one in listed:
        if Path(one).is_absolute() or ".." in Path(one).parts:  # a server that is not to be trusted
            raise BadPathError(f"{one!r} would leave the folder; fetch it by its name, with -o.")
    return {one: (output or Path()) / one for one in listed}


def check_target(path: Path, *, force: bool, can_make_folder: bool = False) -> None:
    """Raises: ConflictError for a file that is there, InvalidInputError for a folder that is not."""
    from heimdall.domain.errors import ConflictError, InvalidInputError

    if path.is_dir():
        raise ConflictError(f"{path} is a folder; give -o the name of a file.")
    if path.exists() and not force:
        raise ConflictError(f"{path} is there already; --force replaces it, -o FILE saves under another name.")
    if not can_make_folder and not path.parent.is_dir():
        raise InvalidInputError(f"There is no folder {path.parent}; make it first.")
