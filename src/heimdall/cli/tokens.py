"""heimdall tokens: who may call the service. Works on the database itself, so that the first token needs none."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heimdall.cli.command import Command
from heimdall.cli.options import AsJson, DatabaseUrl, DataDir

if TYPE_CHECKING:
    from heimdall.domain.access import Token

app = typer.Typer(help="Make, list and revoke access tokens.", no_args_is_help=True)
ForgetAll = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command(cls=Command)
def create(
    role: Annotated[
        Literal["viewer", "operator", "admin"],
        typer.Option(help="viewer reads; operator also changes jobs and datasets; admin may do everything."),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Whose it is; the event log names it.", show_default=False)] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json
    from heimdall.domain.access import Role

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    with bootstrap.open_tokens(settings, may_create=True) as tokens:
        token, secret = tokens.create(Role(role), name)
    if as_json:
        print_json({**_shown(token), "token": secret})
        return
    typer.echo(f"Token {token.name!r} of role {token.role.value}; it is not shown again.", err=True)
    typer.echo(f"Only services on {settings.masked()['database_url']} know it.", err=True)
    typer.echo("Set HEIMDALL_TOKEN to it where you use the command line:", err=True)
    print(secret)


@app.command("ls", cls=Command)
def list_tokens(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the tokens, revoked ones too."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json, print_table

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    with bootstrap.open_tokens(settings) as tokens:
        shown = [_shown(token) for token in tokens.list()]
    if as_json:
        print_json(shown)
    else:
        print_table(["name", "role", "created", "revoked"], [list(token.values()) for token in shown])


@app.command(cls=Command)
def revoke(
    name: Annotated[str, typer.Argument(help="Name of a valid token.")],
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token; running services refuse it within seconds."""
    from heimdall import bootstrap
    from heimdall.cli.output import print_json

    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    with bootstrap.open_tokens(settings) as tokens:
        token = tokens.revoke(name)
    if as_json:
        print_json(_shown(token))
    else:
        print(f"Token {token.name!r} is revoked.")


@app.command("forget-all", cls=Command)
def forget_all(*, data_dir: DataDir = None, database_url: DatabaseUrl = None, yes: ForgetAll = False) -> None:
    """Delete all tokens, revoked ones too: the service answers without one again, on loopback only."""
    from heimdall import bootstrap

    if not yes:
        typer.confirm("Delete all tokens, so that everybody on this machine may call the service?", abort=True)
    settings = bootstrap.load_settings(data_dir=data_dir, database_url=database_url)
    with bootstrap.open_tokens(settings) as tokens:
        print(f"{tokens.forget_all()} tokens are deleted.")


def _shown(token: "Token") -> dict[str, str | None]:
    return {
        "name": token.name,
        "role": token.role.value,
        "created_at": token.created_at.isoformat(timespec="seconds"),
        "revoked_at": token.revoked_at.isoformat(timespec="seconds") if token.revoked_at else None,
    }
