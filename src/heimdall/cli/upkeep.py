"""Commands about the installation itself: config, doctor, migrate."""

from typing import Any

import typer

from heimdall.cli.exits import ExitCode
from heimdall.cli.options import AsJson, DatabaseUrl, DataDir


def config(*, as_json: AsJson = False) -> None:
    """Print the settings in force, passwords masked."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json, print_table

    shown = bootstrap.load_settings().masked()
    if as_json:
        print_json(shown)
    else:
        print_table(["setting", "value"], [(f"HEIMDALL_{name.upper()}", value) for name, value in shown.items()])


def doctor(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Examine this installation and say what is wrong; exit code 1 when something is."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json, print_table

    findings: list[dict[str, Any]] = bootstrap.doctor(
        bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    )
    if as_json:
        print_json(findings)
    else:
        rows = [(finding["check"], "ok" if finding["ok"] else "WRONG", finding["detail"]) for finding in findings]
        print_table(["check", "state", "detail"], rows)
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def migrate(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Bring the database up to date with this version."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json

    revision = bootstrap.migrate(bootstrap.load_settings(data_dir=data_dir, database_url=database_url))
    if as_json:
        print_json({"revision": revision})
    else:
        print(f"The database is at revision {revision}.")
