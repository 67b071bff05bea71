"""Commands for datasets: generate, ls, show, rm."""

from typing import TYPE_CHECKING, Annotated

import typer

from heimdall.cli.options import AsJson, Url, Values

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import DatasetInfo

app = typer.Typer(help="Generate, list and delete datasets.", no_args_is_help=True)
DatasetRef = Annotated[str, typer.Argument(metavar="DATASET", help="Id or name.")]


@app.command()
def generate(
    values: Values = None,
    *,
    name: Annotated[str, typer.Option(help="Unique name.")],
    num_samples: Annotated[int, typer.Option("--samples", min=1, help="Accepted samples to make.")],
    follow: Annotated[bool, typer.Option("--follow", help="Show progress until it is ready.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Make a synthetic dataset: heimdall datasets generate --name small --samples 5000 seed=7."""
    from heimdall.cli.config_values import parse_values
    from heimdall.cli.connection import connect
    from heimdall.cli.jobs import schema_of
    from heimdall.cli.output import print_json
    from heimdall.cli.watching import watch_job

    with connect(url) as client:
        fields = parse_values(values or [], schema_of(client, "synthetic"))
        started = client.datasets.generate(name=name, num_samples=num_samples, fields=fields)
        if as_json:
            print_json(started)
        else:
            print(f"{started['dataset_id']}  {name}  {started['status']}  job {started['job_id']}")
        if follow:
            raise typer.Exit(watch_job(client, started["job_id"], as_json=as_json, after=0))


@app.command("ls")
def list_datasets(*, limit: Annotated[int, typer.Option(min=1)] = 50, as_json: AsJson = False, url: Url = None) -> None:
    """List datasets, newest first."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json, print_table, size_text

    with connect(url) as client:
        page = client.datasets.page(limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (one["id"], one["name"], one["status"], one["num_samples"], size_text(one["size_bytes"] or 0))
        for one in page["datasets"]
    ]
    print_table(["id", "name", "status", "samples", "size"], rows)


@app.command()
def show(dataset: DatasetRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show all that is known of a dataset."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_fields, print_json

    with connect(url) as client:
        found = find_dataset(client, dataset)
    if as_json:
        print_json(found)
    else:
        print_fields(dict(found))


@app.command("rm")
def remove(dataset: DatasetRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Delete a dataset that no job still needs."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json

    with connect(url) as client:
        dataset_id = find_dataset(client, dataset)["id"]
        client.datasets.delete(dataset_id)
    if as_json:
        print_json({"deleted": dataset_id})
    else:
        print(f"Deleted {dataset_id}.")


def find_dataset(client: "HeimdallClient", word: str) -> "DatasetInfo":
    """By name, else by id. Raises: NotFoundError, InvalidInputError."""
    from heimdall.cli.connection import check_word

    check_word(word, "dataset")
    return client.datasets.find(word) or client.datasets.get(word)
