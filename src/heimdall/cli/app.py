"""All commands. Modules of commands import only typer at their top, so that `--help` answers at once."""

import os
import sys
from typing import Any

import typer
from typer.exceptions import TyperException

from heimdall.cli import cleaning, datasets, demo, inspection, jobs, processes, records, tokens, upkeep, verification
from heimdall.cli.command import HELP_NAMES, Command
from heimdall.cli.exits import ExitCode, MachineError, UsageError, exit_code_of, report
from heimdall.cli.streams import open_streams
from heimdall.domain.errors import HeimdallError

app = typer.Typer(
    help="Train models as jobs: queue, watch, pause, resume and recover them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)
SERVICE, JOBS, RECORDS, INSTALLATION = "Service", "Jobs", "Results and data", "Installation"
COMMANDS = [
    ("demo", demo.demo, SERVICE),
    ("up", processes.up, SERVICE),
    ("serve", processes.serve, SERVICE),
    ("worker", processes.worker, SERVICE),
    ("run-job", processes.run_job, SERVICE),
    ("submit", jobs.submit, JOBS),
    ("ls", inspection.list_jobs, JOBS),
    ("show", inspection.show, JOBS),
    ("watch", inspection.watch, JOBS),
    ("pause", jobs.pause, JOBS),
    ("resume", jobs.resume, JOBS),
    ("cancel", jobs.cancel, JOBS),
    ("retry", jobs.retry, JOBS),
    ("clone", jobs.clone, JOBS),
    ("rm", jobs.remove, JOBS),
    ("logs", records.logs, RECORDS),
    ("metrics", records.metrics, RECORDS),
    ("verify", verification.verify, RECORDS),
    ("trainers", inspection.trainers, RECORDS),
    ("workers", inspection.workers, INSTALLATION),
    ("config", upkeep.config, INSTALLATION),
    ("doctor", upkeep.doctor, INSTALLATION),
    ("gc", cleaning.gc, INSTALLATION),
    ("migrate", upkeep.migrate, INSTALLATION),
]
for name, command, panel in COMMANDS:
    app.command(name, cls=Command, rich_help_panel=panel)(command)
app.add_typer(records.artifacts, name="artifacts", rich_help_panel=RECORDS)
app.add_typer(datasets.app, name="datasets", rich_help_panel=RECORDS)
app.add_typer(tokens.app, name="tokens", rich_help_panel=INSTALLATION)


def run(arguments: list[str] | None) -> None:
    """Run one command; always ends in SystemExit with the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    open_streams()
    try:
        try:
            code = app(args=words, prog_name="heimdall", standalone_mode=False)
        finally:
            _write_rest()
    except TyperException as error:
        code = ExitCode.USAGE
        if type(error).__name__ != "NoArgsIsHelpError":  # the help is printed already
            report(_usage_error(error), as_json=as_json)
    except HeimdallError as error:
        code = exit_code_of(error)
        report(error, as_json=as_json)
    except BrokenPipeError:  # the reader of the output, such as `head`, has enough of it
        code = ExitCode.FAILED
    except OSError as error:
        if error.strerror is None:  # not what the system answered: a fault of the program
            raise
        code = ExitCode.FAILED
        report(MachineError.of(error), as_json=as_json)
    except typer.Abort:
        code = ExitCode.FAILED
        print("Nothing was done.", file=sys.stderr)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    sys.exit(code)


def _usage_error(error: TyperException) -> UsageError:
    from pydantic import ValidationError

    from heimdall.sdk.field_error import reason

    message = error.format_message().rstrip(".")
    if isinstance(error.__cause__, ValidationError):  # Typer asks Pydantic, whose words are no user's
        told = reason(error.__cause__.errors()[0])
        message = f"{message.partition(': ')[0]}: {f'it {told}' if told.startswith(('must ', 'is ')) else told}"
    context: Any = getattr(error, "ctx", None)
    option = str(getattr(error, "option_name", ""))
    if context is not None and option.startswith("--") and any(one.name == "values" for one in context.command.params):
        message += f"; config fields are given as {option[2:]}=VALUE, without dashes"
    where = "heimdall" if context is None else context.command_path
    return UsageError(f"{message}{'' if message.endswith('?') else '.'} `{where} --help` lists what there is.")


def _write_rest() -> None:
    """Write what is still in memory while a failure can be reported: Python itself would end with a traceback.

    Raises: OSError.
    """
    try:
        print(end="", flush=True)
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python tries again when it ends
        os.close(nowhere)
        raise OSError(error.errno, error.strerror, "standard output") from error


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from heimdall import __version__

        print(__version__)
        raise typer.Exit
