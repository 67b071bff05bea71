"""Epoch rows as a file. The only place of the surface that loads pyarrow: at the first Parquet download."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from heimdall.domain.events import utc_text

PARQUET_TYPE = "application/vnd.apache.parquet"
CSV_TYPE = "text/csv; charset=utf-8"
FIRST_COLUMNS = ("epoch", "attempt")


def write(rows: Sequence[dict[str, Any]], file_format: str) -> tuple[bytes, str]:
    """The file and its media type. A row that lacks a column has an empty value there."""
    columns = list(dict.fromkeys([*FIRST_COLUMNS, *(name for row in rows for name in row)]))
    plain = [[_plain(row.get(name)) for name in columns] for row in rows]
    if file_format == "csv":
        return _csv(columns, plain), CSV_TYPE
    return _parquet(columns, plain), PARQUET_TYPE


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc_text(value)
    return json.dumps(value) if isinstance(value, dict | list) else value


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([_harmless(name) for name in columns])
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front; numbers stay."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def _parquet(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    arrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    table = arrow.table({name: [row[index] for row in rows] for index, name in enumerate(columns)})
    file = io.BytesIO()
    parquet.write_table(table, file)
    return file.getvalue()
