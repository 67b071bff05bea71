"""All commands. Modules of commands import only typer at their top, so that `--help` answers at once."""

import os
import sys

import typer

from heimdall.cli import datasets, demo, inspection, jobs, processes, records, tokens, upkeep, verification
from heimdall.cli.exits import ExitCode, MachineError, exit_code_of, report
from heimdall.domain.errors import HeimdallError

app = typer.Typer(
    help="Train models as jobs: queue, watch, pause, resume, recover and compare them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
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
    ("migrate", upkeep.migrate, INSTALLATION),
]
for name, command, panel in COMMANDS:
    app.command(name, rich_help_panel=panel)(command)
app.add_typer(records.artifacts, name="artifacts", rich_help_panel=RECORDS)
app.add_typer(datasets.app, name="datasets", rich_help_panel=RECORDS)
app.add_typer(tokens.app, name="tokens", rich_help_panel=INSTALLATION)


def run(arguments: list[str] | None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        try:
            app(args=words, prog_name="heimdall")
        finally:
            _write_rest()
    except HeimdallError as error:
        report(error, as_json="--json" in words)
        sys.exit(exit_code_of(error))
    except BrokenPipeError:  # who reads the output, such as `head`, has enough of it
        sys.exit(ExitCode.FAILED)
    except OSError as error:
        if error.strerror is None:  # not what the system answered: a fault of the program
            raise
        report(MachineError.of(error), as_json="--json" in words)
        sys.exit(ExitCode.FAILED)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def _write_rest() -> None:
    """Write what is still in memory while a failure can be told: Python itself would end with a traceback.

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
