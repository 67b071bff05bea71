"""Commands that create, change and steer jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heimdall.cli.options import AsJson, JobRef, Url, Values

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import ActionAnswer

Kind = Annotated[str, typer.Option(help="Trainer; `heimdall trainers` lists them.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="YAML file of config fields; KEY=VALUE words win over it.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Watch the job until it ends; the exit code tells how.")]


def submit(
    values: Values = None,
    *,
    kind: Kind = "localization",
    name: Annotated[str | None, typer.Option(help="Name of the job; the server makes one.")] = None,
    file: ConfigFile = None,
    priority: Annotated[int | None, typer.Option(help="Higher runs first.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    notes: Annotated[str | None, typer.Option(help="Text kept with the job.")] = None,
    max_restarts: Annotated[int | None, typer.Option(help="Losses in a row before the job fails.")] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs the job needs.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key creates the job only once.")] = None,
    follow: Follow = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Create a job: heimdall submit --kind localization epochs=10 batch_size=16."""
    from heimdall.cli.config_values import parse_values, read_config
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json
    from heimdall.cli.watching import watch_job

    with connect(url) as client:
        schema = schema_of(client, kind)
        config = (read_config(file, schema) if file else {}) | parse_values(values or [], schema)
        job = client.jobs.create(
            config,
            kind=kind,
            job_name=name,
            priority=priority,
            tags=tag,
            notes=notes,
            max_restarts=max_restarts,
            gpus=gpus,
            idempotency_key=idempotency_key,
        )
        if as_json:
            print_json(job)
        else:
            print(f"{job['id']}  {job['job_name']}  {job['status']}")
        if follow:
            raise typer.Exit(watch_job(client, job["id"], as_json=as_json, after=0))


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
    from_last_good: Annotated[bool, typer.Option(help="Pass over a damaged pause checkpoint.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Let a paused job go on, or take a pause request back."""
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
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json

    with connect(url) as client:
        answer = action(client, find_job(client, job))
    if as_json:
        print_json(answer)
    else:
        print(answer["message"])


def clone(
    job: JobRef,
    values: Values = None,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the new job.")] = None,
    follow: Follow = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Create a job with the config of another, except for what is given."""
    from heimdall.cli.config_values import parse_values
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_json
    from heimdall.cli.watching import watch_job

    with connect(url) as client:
        job_id = find_job(client, job)
        overrides: dict[str, Any] = {"job_name": name} if name else {}
        if values:
            overrides["config"] = parse_values(values, schema_of(client, client.jobs.get(job_id)["kind"]))
        new = client.jobs.clone(job_id, overrides)
        if as_json:
            print_json(new)
        else:
            print(f"{new['id']}  {new['job_name']}  {new['status']}")
        if follow:
            raise typer.Exit(watch_job(client, new["id"], as_json=as_json, after=0))


def remove(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids, their first characters, or names.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete jobs with everything they left: metrics, logs, checkpoints, artifacts."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import is_terminal, print_json

    with connect(url) as client:
        job_ids = [find_job(client, job) for job in jobs]
        if is_terminal() and not yes and not as_json:
            typer.confirm(f"Delete {', '.join(job_ids)} with all checkpoints?", abort=True)
        for job_id in job_ids:
            client.jobs.delete(job_id)
    if as_json:
        print_json({"deleted": job_ids})
    else:
        print(f"Deleted {', '.join(job_ids)}.")
