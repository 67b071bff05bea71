"""Python's logging keeps its level on the way into the job's log."""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from typing_extensions import override

from heimdall.domain.log_lines import lines_of
from heimdall.worker.line_budget import LineBudget
from heimdall.worker.writer import Part


class LogHandler(logging.Handler):
    def __init__(self, submit: Callable[[Part], int], budget: LineBudget) -> None:
        super().__init__(logging.INFO)
        self._submit = submit
        self._budget = budget

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            moment = datetime.fromtimestamp(record.created, UTC)
            admitted = self._budget.admit(lines_of(self.format(record), record.levelname, moment))
            if admitted:
                self._submit(Part(log_lines=admitted))
        except Exception:  # noqa: BLE001 - a record may hold anything, and logging must not raise
            with suppress(Exception):  # standard error may be closed
                self.handleError(record)


def log_to_output_after_fork(handler: LogHandler) -> None:
    """Have forked children, such as a DataLoader's, print what they log: the threads behind `handler` stay here."""

    def printing() -> None:
        root = logging.getLogger()
        if handler not in root.handlers:
            return
        output = open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115, PTH123
        stream = logging.StreamHandler(output)
        stream.setLevel(handler.level)
        stream.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        root.handlers[:] = [stream if each is handler else each for each in root.handlers]

    os.register_at_fork(after_in_child=printing)
