"""A process that a trainer forked: it may compute, print and log, and is never the job."""

import os
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

from heimdall.worker.job_streams import flush_streams


@contextmanager
def ending_forks() -> Generator[None]:
    """A child forked inside ends where it would leave, as that of a script of its own does: what follows would end the
    job for its parent."""
    pid = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid:
            _leave(error)
        raise
    if os.getpid() != pid:
        _leave(None)


def _leave(error: BaseException | None) -> NoReturn:
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code or 0
    elif error is not None:
        code = 1
    with suppress(Exception):  # standard error may be closed, and an exception of any class may have no text
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exception(error)
    flush_streams()
    os._exit(code & 0xFF if isinstance(code, int) else 1)
