"""Commands for datasets: generate, ls, show, rm."""

from typing import TYPE_CHECKING, Annotated

import typer

from heimdall.cli.command import Command
from heimdall.cli.options import AsJson, Follow, Url, Values, Yes

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import DatasetInfo

app = typer.Typer(help="Generate, list and delete datasets.", no_args_is_help=True)
DatasetRef = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name or id of a dataset, or the first characters of the id.")
]


@app.command(cls=Command)
def generate(
    values: Values = None,
    *,
    name: Annotated[str, typer.Option(help="Unique name.")],
    num_samples: Annotated[int, typer.Option("--samples", min=1, help="Number of samples.")],
    follow: Follow = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a synthetic dataset: heimdall datasets generate --name small --samples 5000 seed=7."""
    from heimdall.cli.config_values import parse_values
    from heimdall.cli.connection import connect
    from heimdall.cli.jobs import schema_of
    from heimdall.cli.output import clean_line, print_json, say
    from heimdall.cli.watching import watch_job

    with connect(url) as client:
        fields = parse_values(values or [], schema_of(client, "synthetic"))
        started = client.datasets.generate(name=name, num_samples=num_samples, fields=fields)
        if as_json:
            print_json(started)
        else:
            say(clean_line(f"{started['dataset_id']}  {name}  {started['status']}  job {started['job_id']}"))
        if follow:
            raise typer.Exit(watch_job(client, started["job_id"], as_json=as_json, after=0))


@app.command("ls", cls=Command)
def list_datasets(*, limit: Annotated[int, typer.Option(min=1)] = 50, as_json: AsJson = False, url: Url = None) -> None:
    """List datasets, newest first."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import for_people, print_json, print_table, size_text

    with connect(url) as client:
        page = client.datasets.page(limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            for_people(one["id"][:8], one["id"]),
            one["name"],
            one["status"],
            one["num_samples"],
            for_people(size_text(one["size_bytes"] or 0), str(one["size_bytes"] or 0)),
        )
        for one in page["datasets"]
    ]
    print_table(["id", "name", "status", "samples", "size"], rows, may_be_cut=["name"])


@app.command(cls=Command)
def show(dataset: DatasetRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show all that is known of a dataset."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_dataset
    from heimdall.cli.output import print_fields, print_json

    with connect(url) as client:
        found = find_dataset(client, dataset)
    if as_json:
        print_json(found)
    else:
        print_fields(dict(found))


@app.command("rm", cls=Command)
def remove(dataset: DatasetRef, *, yes: Yes = False, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a dataset that no job still needs."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_dataset
    from heimdall.cli.output import print_json, say
    from heimdall.cli.questions import can_ask, confirm

    with connect(url) as client:
        found = find_dataset(client, dataset)
        if can_ask() and not yes:
            confirm(_deletion_text(client, found))
        client.datasets.delete(found["id"])
    if as_json:
        print_json({"deleted": found["id"]})
    else:
        say(f"Deleted {found['name']} ({found['id']}).")


def _deletion_text(client: "HeimdallClient", dataset: "DatasetInfo") -> str:
    from heimdall.cli.naming import find_jobs_of_dataset
    from heimdall.cli.output import count_text
    from heimdall.domain.naming import lines_of

    question = f"Delete the dataset {dataset['name']} ({count_text(dataset['num_samples'], 'sample')})?"
    jobs = find_jobs_of_dataset(client, dataset["id"])
    if not jobs:
        return question
    return (
        f"{count_text(len(jobs), 'job')} used the dataset {dataset['name']}:{lines_of(jobs)}\n"
        f"Their results stay, but they can no longer be cloned, retried or verified.\n{question}"
    )
