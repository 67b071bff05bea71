"""The command line. This module imports nothing: what the console script imports, every job imports again."""


def main(arguments: "list[str] | None" = None) -> None:
    """Run one command; ends in SystemExit with the exit code."""
    from heimdall.cli.app import run

    run(arguments)
