"""A table on the terminal: a row is one line, and what does not fit is left out by whole columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from heimdall.cli.terminal import is_unicode

GAP = 2
LEAST_CUT = 10  # characters of a column that may be cut
LEAST_WRAPPED = 16


@dataclass(kw_only=True)
class _Column:
    heading: str
    cells: list[str]
    can_be_cut: bool
    can_wrap: bool
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.widen()

    def widen(self) -> None:
        """To what its cells would take."""
        self.width = max(cell_len(text) for text in (self.heading, *self.cells))

    @property
    def spare(self) -> int:
        """Characters that the column can do without."""
        if not (self.can_be_cut or self.can_wrap):
            return 0
        return max(0, self.width - max(cell_len(self.heading), LEAST_CUT if self.can_be_cut else LEAST_WRAPPED))


class Table:
    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        may_be_cut: Sequence[str] = (),
        may_wrap: Sequence[str] = (),
    ) -> None:
        self._columns = [
            _Column(
                heading=heading,
                cells=[row[number] for row in rows],
                can_be_cut=heading in may_be_cut,
                can_wrap=heading in may_wrap,
            )
            for number, heading in enumerate(headings)
        ]

    def print(self) -> None:
        console = Console(highlight=False)
        left_out = self._fit(console.width)
        grid = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column in self._columns:
            grid.add_column(Text(column.heading), width=column.width, no_wrap=not column.can_wrap, overflow="fold")
        for row in zip(*(column.cells for column in self._columns), strict=True):
            grid.add_row(*(_cell(text, column) for text, column in zip(row, self._columns, strict=True)))
        console.print(grid)
        if left_out:
            names = ", ".join(column.heading for column in left_out)
            console.print(Text(f"Not shown in {console.width} columns: {names}. A pipe or --json has them."))

    def _fit(self, width: int) -> list[_Column]:
        """Make the columns fit; those that had to go."""
        left_out: list[_Column] = []
        while (excess := sum(column.width + GAP for column in self._columns) - GAP - width) > 0:
            widest = max(self._columns, key=lambda column: column.spare)
            if widest.spare:
                widest.width -= min(excess, max(1, widest.spare // 2))
                continue
            last = next((column for column in reversed(self._columns[1:]) if not column.can_wrap), None)
            if last is None:  # the terminal folds what is left
                break
            self._columns.remove(last)
            left_out.insert(0, last)
            for column in self._columns:  # there is room again
                column.widen()
        return left_out


def _cell(text: str, column: _Column) -> Text:
    if column.can_be_cut and cell_len(text) > column.width:
        mark = "…" if is_unicode() else "~"
        text = set_cell_size(text, column.width - 1) + mark
    return Text(text)
