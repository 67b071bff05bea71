"""Counts the statements that a block of a test sends to a database."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from heimdall.store import Database


@contextmanager
def counted(database: Database) -> Generator[list[tuple[str, Any]]]:
    """The reading statements with their parameters, in order."""
    statements: list[tuple[str, Any]] = []

    def executed(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append((statement, parameters))

    event.listen(database.reader, "before_cursor_execute", executed)
    try:
        yield statements
    finally:
        event.remove(database.reader, "before_cursor_execute", executed)
