"""Commands that look: ls, show, watch, trainers, workers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from heimdall.cli.options import AsJson, JobRef, Url

if TYPE_CHECKING:
    from heimdall.client.shapes import JobSummary


def list_jobs(
    *,
    status: Annotated[list[str] | None, typer.Option(help="Only this status; may be given several times.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Text in the job's name, notes or id.")] = None,
    sort: Annotated[str, typer.Option(help="Field to sort by; - before it: downwards.")] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List jobs, newest first."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json, print_table

    with connect(url) as client:
        page = client.jobs.page(status=status, kind=kind, tag=tag, q=search, sort=sort, limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (
            job["id"][:8],
            job["job_name"],
            job["kind"],
            job["status"],
            _progress_text(job),
            job["val_loss"],
            job["created_at"][:19].replace("T", " "),
        )
        for job in page["jobs"]
    ]
    print_table(["id", "name", "kind", "status", "progress", "val_loss", "created (UTC)"], rows)


def _progress_text(job: "JobSummary") -> str:
    if job["total_epochs"]:
        return f"{job['current_epoch']}/{job['total_epochs']}"
    return f"{job['progress_percent']:.0f} %"


def show(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show all that is known of a job."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.output import print_fields, print_json

    with connect(url) as client:
        details = client.jobs.details(find_job(client, job))
    if as_json:
        print_json(details)
    else:
        print_fields(dict(details["job"]))


def watch(
    job: JobRef,
    *,
    after: Annotated[int | None, typer.Option(help="With --json: begin after this event.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show a job's progress until it ends; the exit code tells how it ended."""
    from heimdall.cli.connection import connect, find_job
    from heimdall.cli.watching import watch_job

    with connect(url) as client:
        raise typer.Exit(watch_job(client, find_job(client, job), as_json=as_json, after=after))


def trainers(
    kind: Annotated[str | None, typer.Argument(help="Show the config fields of this kind.")] = None,
    *,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List trainers, or one trainer's config fields."""
    from heimdall.cli.connection import connect
    from heimdall.cli.jobs import schema_of
    from heimdall.cli.output import print_json, print_table

    with connect(url) as client:
        if kind is not None:
            schema = schema_of(client, kind)
            if as_json:
                print_json(schema)
            else:
                print_table(["field", "values", "default", "description"], _field_rows(schema))
            return
        found = client.trainers()
    if as_json:
        print_json(found)
    else:
        print_table(
            ["kind", "title", "description"], [(one["kind"], one["title"], one["description"]) for one in found]
        )


def workers(*, as_json: AsJson = False, url: Url = None) -> None:
    """List the workers that are alive."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json, print_table

    with connect(url) as client:
        found = client.workers()
    if as_json:
        print_json(found)
    elif found:
        headings = list(found[0])
        print_table(headings, [[one.get(heading) for heading in headings] for one in found])
    else:
        print("No worker is alive; queued jobs wait until one is.")


def _field_rows(schema: dict[str, Any]) -> list[tuple[Any, ...]]:
    from heimdall.cli.config_values import describe_values

    required: list[str] = schema.get("required", [])
    return [
        (
            name,
            describe_values(name, schema),
            "required" if name in required else field.get("default"),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    ]
