"""Rows found by pairs of values, such as (series, step), through the index on the two columns."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Select, and_, column, values

S = TypeVar("S", bound=Select[*tuple[Any, ...]])


def among(statement: S, keys: tuple[Column[Any], Column[Any]], pairs: Sequence[tuple[Any, Any]]) -> S:
    """`statement` cut to the rows whose `keys` are among `pairs`, which must not be empty.

    A join, because SQLite reads the whole table for `(a, b) IN (VALUES …)`. 16,000 pairs at most fit a statement.
    """
    first, second = keys
    wanted = (
        values(column("first", first.type), column("second", second.type), name="wanted")
        .data(list(pairs))
        .cte("wanted")
    )
    on: ColumnElement[bool] = and_(first == wanted.c.first, second == wanted.c.second)
    return statement.join(wanted, on)
