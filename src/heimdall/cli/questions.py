"""Asks before something is deleted."""

import sys

import typer

from heimdall.cli.output import clean


def can_ask() -> bool:
    """Whether somebody sits at the terminal that the command reads from."""
    return sys.stdin.isatty()


def confirm(question: str) -> None:
    """Raises: typer.Abort when the answer is no. Standard output is left to what the command prints."""
    typer.confirm(clean(question), abort=True, err=True)
