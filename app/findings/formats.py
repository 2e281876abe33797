"""A table as CSV, JSON, LaTeX and plain text. Files for programs keep every digit; those for people are rounded."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from app.findings.table import Cell, Column, Estimate, Range, Table, shown
from app.studies.results.export import csv_line

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "√": r"$\surd$",
} | {character: f"\\{character}" for character in "&%$#_{}"}
_IN_LATEX = re.compile("|".join(map(re.escape, _LATEX)))


def as_csv(table: Table) -> str:
    """One line per row, its header first. An estimate takes three columns: `name`, `name_sem`, `name_n`; a range
    `name_min` and `name_max`. A method that is called like another column has the prefix `method_`."""
    lines = (
        [value for column, cell in zip(table.columns, row, strict=True) for value in _csv_cells(column, cell)]
        for row in table.rows
    )
    return csv_line(_csv_header(table.columns)) + "".join(map(csv_line, lines))


def _csv_header(columns: Sequence[Column]) -> list[str]:
    header = [_csv_names(column.name, column) for column in columns]
    taken = {name for column, names in zip(columns, header, strict=True) if not column.is_method for name in names}
    for index, column in enumerate(columns):
        name = column.name
        while column.is_method and not taken.isdisjoint(header[index]):
            name = f"method_{name}"
            header[index] = _csv_names(name, column)
        taken.update(header[index])
    return [name for names in header for name in names]


_ENDINGS = {"estimate": ("", "_sem", "_n"), "range": ("_min", "_max")}


def _csv_names(name: str, column: Column) -> list[str]:
    return [name + ending for ending in _ENDINGS.get(column.kind, ("",))]


def _csv_cells(column: Column, cell: Cell) -> list[str | int | float | None]:
    if isinstance(cell, Estimate):
        return [cell.value, cell.sem, cell.n]
    if isinstance(cell, Range):
        return [cell.smallest, cell.largest]
    return [cell, *[None] * (len(_csv_names("", column)) - 1)]


def as_json(tables: Sequence[Table]) -> str:
    """An array with an object per table; rows are objects by the columns' names, estimates `{value, sem, n}`, ranges
    `{min, max}`. What methods have stands in an object of its own, `methods`: they may be called like a column."""
    return json.dumps([_json_table(table) for table in tables], indent=2, ensure_ascii=False) + "\n"


def _json_table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "number": table.number,
        "title": table.title,
        "subject": table.subject,
        "caption": table.caption,
        "columns": _by_name(table.columns, [column.title for column in table.columns]),
        "rows": [_by_name(table.columns, list(map(_json_cell, row))) for row in table.rows],
        "notes": list(table.notes),
    }


def _by_name(columns: Sequence[Column], values: Sequence[Any]) -> dict[str, Any]:
    named = list(zip(columns, values, strict=True))
    of_methods = {column.name: value for column, value in named if column.is_method}
    others = {column.name: value for column, value in named if not column.is_method}
    return others | ({"methods": of_methods} if of_methods else {})


def _json_cell(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        return {"value": cell.value, "sem": cell.sem, "n": cell.n}
    return {"min": cell.smallest, "max": cell.largest} if isinstance(cell, Range) else cell


def as_latex(table: Table) -> str:
    """A `table` environment in the manner of the package booktabs, which has to be loaded. Notes follow as comments."""
    alignment = "".join("r" if column.is_number else "l" for column in table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(f'{table.title}, {table.subject}. {table.caption}')}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_row([column.title for column in table.columns]),
        r"\midrule",
        *(_latex_row(cells) for cells in _shown_rows(table)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        *(f"% {' '.join(note.split())}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def escaped(text: str) -> str:
    """Text in which LaTeX finds no command of its own."""
    return _IN_LATEX.sub(lambda found: _LATEX[found[0]], " ".join(text.split()))


def as_text(table: Table) -> str:
    """For a terminal: columns aligned, notes below; what to do where there is nothing yet."""
    heading = f"{table.number}: {table.title} ({table.subject})"
    if not table.rows:
        return "\n".join([heading, f"Nothing is stored for it yet. {table.hint}", table.command, *table.notes]) + "\n"
    lines = [[column.title for column in table.columns], *_shown_rows(table)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.columns))]
    aligned = [
        "  ".join(
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for column, cell, width in zip(table.columns, line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([heading, table.caption, "", *aligned, "", *table.notes]).rstrip() + "\n"


def _shown_rows(table: Table) -> list[list[str]]:
    return [[shown(column, cell) for column, cell in zip(table.columns, row, strict=True)] for row in table.rows]


class Format(NamedTuple):
    """What a browser can download. ending: of the file's name."""

    ending: str
    media_type: str
    write: Callable[[Table], str]


FORMATS = {
    "csv": Format("csv", "text/csv; charset=utf-8", as_csv),
    "latex": Format("tex", "text/x-tex; charset=utf-8", as_latex),
    "json": Format("json", "application/json", lambda table: as_json([table])),
}
