"""A table as a plain value, however it is written out later. Pure: knows no subject, no database and no markup."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "code", "count", "range", "number", "estimate", "p"]
NO_NUMBER = "–"
UNKNOWN = "unknown"
SMALLEST_P_SHOWN = 0.001


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error and of how many neurons. sem: None of a single one."""

    value: float
    sem: float | None
    n: int


@dataclass(frozen=True)
class Range:
    """Counts from the smallest to the largest."""

    smallest: int
    largest: int


Cell = str | int | float | Estimate | Range | None
"""None: there is no such number."""


@dataclass(frozen=True)
class Column:
    """One column. name: in files, lower case; title: for people. kind: `code` is a name that a program gave, `p` a
    probability. decimals: of numbers and estimates as shown. missing: what people read where there is nothing.
    is_group: says what a row is about; a page may say it once for many rows. is_method: its name is that of a method,
    which may be any, also that of another column."""

    name: str
    title: str
    kind: Kind = "text"
    decimals: int = 3
    missing: str = NO_NUMBER
    is_group: bool = False
    is_method: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind not in ("text", "code")


@dataclass(frozen=True)
class Table:
    """One table of one subject model.

    name: in addresses and files, `2` or `2-differences`. number: `Table 2`. caption: what the numbers are.
    rows: one cell per column each. notes: what was left out and what else to know, sentences. hint, command: how to get
    the table, where it is empty: a sentence and what to run, a line each.
    """

    name: str
    number: str
    title: str
    subject: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str]
    hint: str
    command: str


def shown(column: Column, cell: Cell) -> str:
    """A cell as people read it: rounded to the column's decimals, `0.125 ± 0.004`, `< 0.001`, a true minus sign."""
    if cell is None:
        return column.missing
    if isinstance(cell, Estimate):
        sem = NO_NUMBER if cell.sem is None else _decimal(cell.sem, column.decimals)
        return f"{_decimal(cell.value, column.decimals)} ± {sem}"
    if isinstance(cell, Range):
        return f"{cell.smallest:,}" + (f"–{cell.largest:,}" if cell.largest != cell.smallest else "")
    if isinstance(cell, str):
        return cell
    if column.kind == "count":
        return f"{cell:,}"
    if column.kind == "p" and cell < SMALLEST_P_SHOWN:
        return f"< {SMALLEST_P_SHOWN}"
    return _decimal(cell, column.decimals)


def _decimal(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "−")
