"""`heimdall gc`."""

from dataclasses import asdict
from typing import Annotated

import typer

from heimdall.cli.options import AsJson, DatabaseUrl, DataDir


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    hours: Annotated[float, typer.Option(min=0, help="Remove no file of a job that is younger than this.")] = 24.0,
    unknown: Annotated[
        bool,
        typer.Option("--unknown", help="Also remove files of jobs and datasets that the database does not know."),
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove files that nothing needs: leftovers of killed jobs, unfinished and old caches. Running jobs are safe."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json, print_table

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    found = bootstrap.collect_garbage(settings, hours=hours, has_unknown=unknown, is_dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "removed": [asdict(removal) for removal in found]})
        return
    rows = [(removal.what, removal.number, f"{removal.size_bytes / 1e6:.1f} MB") for removal in found]
    print_table(["would be removed" if dry_run else "removed", "number", "size"], rows)
