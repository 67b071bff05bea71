"""Commands that show: ls, show, watch, trainers, workers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from heimdall.cli.options import AsJson, JobRef, Url

if TYPE_CHECKING:
    from heimdall.client.shapes import JobSummary, TrainerInfo


def list_jobs(
    *,
    status: Annotated[list[str] | None, typer.Option(help="Only this status; may be given several times.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-q", help="Text in the job's name, notes or id.")] = None,
    sort: Annotated[str, typer.Option(help="Field to sort by; prefix with - for descending order.")] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List jobs, newest first."""
    from heimdall.cli.connection import connect
    from heimdall.cli.output import print_json, print_table

    with connect(url) as client:
        page = client.jobs.page(status=status, kind=kind, tag=tag, q=search, sort=sort, limit=limit)
        trainers = [] if as_json else client.trainers()
    if as_json:
        print_json(page)
        return
    print_table(*_job_table(page["jobs"], trainers), may_be_cut=["name"])


def _job_table(jobs: "list[JobSummary]", trainers: "list[TrainerInfo]") -> tuple[list[str], list[list[Any]]]:
    """Headings and rows."""
    from heimdall.cli.output import for_people
    from heimdall.domain.naming import moment_text

    def row_of(job: "JobSummary") -> dict[str, Any]:
        return {
            "id": for_people(job["id"][:8], job["id"]),
            "name": job["job_name"],
            "status": job["status"],
            "progress": _progress_text(job),
            "best": best_text(job, trainers),
            "created (UTC)": for_people(moment_text(job["created_at"]), job["created_at"]),
            "kind": job["kind"],
            **for_people({}, {"train_loss": job["train_loss"], "val_loss": job["val_loss"]}),
        }

    headings = ["id", "name", "status", "progress", "best", "created (UTC)", "kind"]
    headings += for_people([], ["train_loss", "val_loss"])
    return headings, [list(row_of(job).values()) for job in jobs]


def best_text(job: "JobSummary", trainers: "list[TrainerInfo]") -> str | None:
    """`val_loss 0.123`; None before the first epoch."""
    from heimdall.cli.best_metric import best_metric_in
    from heimdall.cli.output import exact_text, for_people, text_of

    value = job["best_val_loss"]
    if value is None:
        return None
    return f"{best_metric_in(trainers, job)} {for_people(text_of(value), exact_text(value))}"


def _progress_text(job: "JobSummary") -> str:
    if job["total_epochs"]:
        return f"{job['current_epoch']}/{job['total_epochs']}"
    return f"{job['progress_percent']:.0f} %"


def show(job: JobRef, *, as_json: AsJson = False, url: Url = None) -> None:
    """Show all that is known of a job."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
    from heimdall.cli.output import print_fields, print_json

    with connect(url) as client:
        details = client.jobs.details(find_job(client, job))
        trainers = [] if as_json else client.trainers()
    if as_json:
        print_json(details)
        return
    found = details["job"]
    best = {"best": f"{best_text(found, trainers)} (epoch {found['best_epoch']})"} if found["best_epoch"] else {}
    print_fields(_long_ones_last({**found, **best}))


def _long_ones_last(fields: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(fields.items(), key=lambda field: isinstance(field[1], dict)))


def watch(
    job: JobRef,
    *,
    after: Annotated[int | None, typer.Option(help="With --json: begin after this event.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show a job's progress until it ends; the exit code says how it ended."""
    from heimdall.cli.connection import connect
    from heimdall.cli.naming import find_job
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
                headings = ["field", "values", "default", "description"]
                print_table(headings, _field_rows(schema), may_wrap=["values", "description"])
            return
        found = client.trainers()
    if as_json:
        print_json(found)
    else:
        rows = [(one["kind"], one["title"], one["description"]) for one in found]
        print_table(["kind", "title", "description"], rows, may_wrap=["description"])


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
