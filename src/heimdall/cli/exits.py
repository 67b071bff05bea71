"""Exit codes, and how an error becomes one."""

import json
import sys
from contextlib import suppress
from enum import IntEnum

from heimdall.cli.output import clean
from heimdall.domain.errors import (
    ConflictError,
    HeimdallError,
    InvalidInputError,
    NotFoundError,
    StartRefusedError,
    UnavailableError,
)


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1  # the job failed or was cancelled, or anything not named below
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class MachineError(HeimdallError):
    """This machine refuses something: a file cannot be read, a disk is full."""

    code = "machine_refused"

    @classmethod
    def of(cls, error: OSError) -> "MachineError":
        reason = str(error.strerror).rstrip(".")
        return cls(f"{reason}." if error.filename is None else f"{error.filename}: {reason}.")


class UsageError(InvalidInputError):
    """The words of the command line are not ones that the command takes."""

    code = "usage"


_BY_ERROR: list[tuple[type[HeimdallError], ExitCode]] = [
    (NotFoundError, ExitCode.NOT_FOUND),
    (ConflictError, ExitCode.CONFLICT),
    (InvalidInputError, ExitCode.USAGE),
    (StartRefusedError, ExitCode.USAGE),
    (UnavailableError, ExitCode.UNREACHABLE),
]


def exit_code_of(error: HeimdallError) -> ExitCode:
    if error.code == "server_unreachable":
        return ExitCode.UNREACHABLE
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)


def exit_code_of_status(status: str) -> ExitCode:
    """For a job that has ended."""
    return ExitCode.DONE if status == "completed" else ExitCode.FAILED


def report(error: HeimdallError, *, as_json: bool) -> None:
    """Say what went wrong on standard error: one sentence, then one line for each field of a refused input."""
    fields = error.errors if isinstance(error, InvalidInputError) else []
    if as_json:
        problem = {"detail": str(error), "code": error.code, "status": error.status_code, "errors": fields}
        lines = [json.dumps(problem)]
    else:
        lines = [f"heimdall: {clean(str(error))}"]
        for field in fields:
            place = ".".join(str(part) for part in field.get("loc", []))
            if str(field.get("msg")) not in str(error):
                lines.append(clean(f"  {place}: {field.get('msg')}"))
    with suppress(OSError):  # nobody reads it, and the exit code says it too
        print("\n".join(lines), file=sys.stderr, flush=True)
