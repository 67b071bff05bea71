"""Commands that create, change and control jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heimdall.cli.options import AsJson, DatasetName, JobRef, Url, Values, Yes

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import ActionAnswer, Job

Kind = Annotated[str, typer.Option(help="Trainer; `heimdall trainers` lists them.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="YAML file of config fields; KEY=VALUE words override it.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Watch the job until it ends; the exit code says how it ended.")]
MaxRestarts = Annotated[
    int | None,
    typer.Option(min=0, max=1_000_000, help="How often in a row the job is restarted after its worker dies."),
]


def submit(
    values: Values = None,
    *,
    kind: Kind = "localization",
    name: Annotated[str | None, typer.Option(help="Name of the job; generated if omitted.")] = None,
    file: ConfigFile = None,
    dataset: DatasetName = None,
    priority: Annotated[
        int | None, typer.Option(min=-(2**31), max=2**31 - 1, help="Jobs of higher priority run first.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    notes: Annotated[str | None, typer.Option(help="Text kept with the job.")] = None,
    max_restarts: MaxRestarts = None,
    gpus: Annotated[int | None, typer.Option(min=0, max=1024, help="GPUs the job needs.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key creates the job only once.")] = None,
    follow: Follow = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Create a job: heimdall submit --kind localization epochs=10 batch_size=16."""
    from heimdall.cli.config_values import parse_values, read_config
    from heimdall.cli.connection import connect

    with connect(url) as client:
        schema = schema_of(client, kind)
        config = (read_config(file, schema) if file else {}) | parse_values(values or [], schema)
        job = client.jobs.create(
            with_dataset_id(client, config, schema, dataset),
            kind=kind,
            job_name=name,
            priority=priority,
            tags=tag,
            notes=notes,
            max_restarts=max_restarts,
            gpus=gpus,
            idempotency_key=idempotency_key,
        )
        _show_new(client, job, follow=follow, as_json=as_json)


def _show_new(client: "HeimdallClient", job: "Job", *, follow: bool, as_json: bool) -> None:
    from heimdall.cli.output import clean_line, print_json, say
    from heimdall.cli.watching import watch_job

    if as_json:
        print_json(job)
    else:
        say(clean_line(f"{job['id']}  {job['job_name']}  {job['status']}"), flush=True)
    if follow:
        raise typer.Exit(watch_job(client, job["id"], as_json=as_json, after=0))


def with_dataset_id(
    client: "HeimdallClient", config: dict[str, Any], schema: dict[str, Any], dataset: str | None
) -> dict[str, Any]:
    """The config with a dataset named in it, or by --dataset, as the id that the server wants.

    Raises: InvalidInputError, NotFoundError.
    """
    from heimdall.cli.naming import FULL_ID, find_dataset
    from heimdall.domain.errors import InvalidInputError, NotFoundError

    if dataset is not None:
        if "dataset_id" not in schema.get("properties", {}):
            raise InvalidInputError("--dataset: jobs of this kind do not train on a dataset.")
        if "dataset_id" in config:
            raise InvalidInputError(f"The dataset is given twice, as {dataset!r} and as {config['dataset_id']!r}.")
        config = {**config, "dataset_id": dataset}
    word = config.get("dataset_id")
    if isinstance(word, str) and not FULL_ID.fullmatch(word):
        try:
            config = {**config, "dataset_id": find_dataset(client, word)["id"]}
        except NotFoundError:
            if dataset is not None:
                raise
            # what a field of this name means to a trainer of somebody's own is for the server to say
    return config


def schema_of(client: "HeimdallClient", kind: str) -> dict[str, Any]:
    """Raises: InvalidInputError when the server has no such trainer."""
    from heimdall.domain.errors import InvalidInputError

    trainers = {trainer["kind"]: trainer for trainer in client.trainers()}
    if kind not in trainers:
        raise InvalidInputError(f"The server has no trainer of kind {kind!r}; it has: {', '.join(trainers)}.")
    return trainers[kind]["config_schema"]


def pause(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Stop a running job at the end of its epoch, its state saved."""
    _act(job, lambda client, job_id: client.jobs.pause(job_id), as_json=as_json, url=url)


def resume(
    job: JobRef,
    *,
    from_last_good: Annotated[
        bool, typer.Option(help="Skip a damaged pause checkpoint and use the newest good one.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Resume a paused job, or withdraw a pause request."""
    from heimdall.domain.errors import ConflictError

    def act(client: "HeimdallClient", job_id: str) -> "ActionAnswer":
        try:
            return client.jobs.resume(job_id, from_last_good=from_last_good)
        except ConflictError as error:
            if error.code != "checkpoint_damaged" or "last_good" not in str(error):  # else no checkpoint is good
                raise
            told = ConflictError(f"{error} On the command line: use --from-last-good.")
            told.code = error.code
            raise told from None

    _act(job, act, as_json=as_json, url=url)


def cancel(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """End a job; a running one stops at its next batch."""
    _act(job, lambda client, job_id: client.jobs.cancel(job_id), as_json=as_json, url=url)


def retry(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Start a failed or cancelled job again, from its newest good checkpoint."""
    _act(job, lambda client, job_id: client.jobs.retry(job_id), as_json=as_json, url=url)


def _act(job: str, action: "Callable[[HeimdallClient, str], ActionAnswer]", *, as_json: bool, url: str | None) -> None:
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import print_json, say

    with connect(url) as client:
        answer = action(client, find_job(client, job))
    if as_json:
        print_json(answer)
    else:
        say(answer["message"])


def clone(
    job: JobRef,
    values: Values = None,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the new job.")] = None,
    dataset: DatasetName = None,
    follow: Follow = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Create a job with the config of another, except for what is given."""
    from heimdall.cli.config_values import parse_values
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job

    with connect(url) as client:
        job_id = find_job(client, job)
        overrides: dict[str, Any] = {"job_name": name} if name else {}
        if values or dataset:
            schema = schema_of(client, client.jobs.get(job_id)["kind"])
            overrides["config"] = with_dataset_id(client, parse_values(values or [], schema), schema, dataset)
        _show_new(client, client.jobs.clone(job_id, overrides), follow=follow, as_json=as_json)


def remove(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB", help="Ids, their first characters, or names.")],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete jobs with everything they left: metrics, logs, checkpoints, artifacts."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_named_job
    from heimdall.cli.output import print_json, say
    from heimdall.cli.questions import can_ask, confirm
    from heimdall.domain.naming import lines_of

    with connect(url) as client:
        found = [find_named_job(client, job) for job in jobs]
        if can_ask() and not yes:
            confirm(f"These jobs go with all their checkpoints:{lines_of(found)}\nDelete them?")
        for job in found:
            client.jobs.delete(job.id)
    if as_json:
        print_json({"deleted": [job.id for job in found]})
    else:
        say("\n".join(f"Deleted {job.job_name} ({job.id})." for job in found))
