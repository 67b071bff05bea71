"""Commands about the installation itself: config, doctor, migrate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from heimdall.cli.exits import ExitCode
from heimdall.cli.options import AsJson, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from heimdall.settings import Settings


def config(*, as_json: AsJson = False) -> None:
    """Print the settings in force, passwords masked."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json, print_table

    calling = bootstrap.load_client_settings().masked()
    shown = bootstrap.load_settings().masked() | {name: calling[name] for name in ("url", "token")}
    if as_json:
        print_json(shown)
    else:
        print_table(
            ["setting", "value"],
            [(f"HEIMDALL_{name.upper()}", value) for name, value in shown.items()],
            may_wrap=["value"],
        )


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
        print_table(["check", "state", "detail"], rows, may_wrap=["detail"])
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


CopyTo = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Copy everything into this empty database: sqlite:///… or postgresql://…",
        show_default=False,
    ),
]


def migrate(
    *,
    to: CopyTo = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database up to date with this version, or copy it into another one."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    if to is not None:
        _copy(settings, to, as_json=as_json)
        return
    revision = bootstrap.migrate(settings)
    if as_json:
        print_json({"revision": revision})
    else:
        print(f"The database is at revision {revision}.")


def _copy(settings: "Settings", url: str, *, as_json: bool) -> None:
    from heimdall import bootstrap
    from heimdall.cli.output import count_text, print_json
    from heimdall.settings import masked_url

    def report(table: str, num_rows: int) -> None:
        if not as_json:
            print(f"{table}: {count_text(num_rows, 'row')}", flush=True)

    copied = bootstrap.copy_database(settings, url, report)
    if as_json:
        print_json({"copied": copied})
    else:
        print(
            "Every row was read again and is the same. Files of artifacts stay where they are. Start the service with"
        )
        print(f"  HEIMDALL_DATABASE_URL={masked_url(url)}")
        print(f"  HEIMDALL_ARTIFACTS_URL={masked_url(settings.resolved_artifacts_url)}")
