"""A table as CSV, JSON, LaTeX and plain text. Files for programs keep every digit; those for people are rounded."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from app.findings.table import Cell, Column, Estimate, Table, shown
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
    """One line per row, its header first. An estimate takes three columns: `name`, `name_sem`, `name_n`."""
    header = [name for column in table.columns for name in _csv_names(column)]
    lines = (
        [value for column, cell in zip(table.columns, row, strict=True) for value in _csv_cells(column, cell)]
        for row in table.rows
    )
    return csv_line(header) + "".join(map(csv_line, lines))


def _csv_names(column: Column) -> list[str]:
    endings = ("", "_sem", "_n") if column.kind == "estimate" else ("",)
    return [column.name + ending for ending in endings]


def _csv_cells(column: Column, cell: Cell) -> list[str | int | float | None]:
    if isinstance(cell, Estimate):
        return [cell.value, cell.sem, cell.n]
    return [cell, *[None] * (len(_csv_names(column)) - 1)]


def as_json(tables: Sequence[Table]) -> str:
    """An array with an object per table; rows are objects by the columns' names, estimates `{value, sem, n}`."""
    return json.dumps([_json_table(table) for table in tables], indent=2, ensure_ascii=False) + "\n"


def _json_table(table: Table) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    return {
        "name": table.name,
        "number": table.number,
        "title": table.title,
        "subject": table.subject,
        "caption": table.caption,
        "columns": {column.name: column.title for column in table.columns},
        "rows": [dict(zip(names, map(_json_cell, row), strict=True)) for row in table.rows],
        "notes": list(table.notes),
    }


def _json_cell(cell: Cell) -> Any:
    return {"value": cell.value, "sem": cell.sem, "n": cell.n} if isinstance(cell, Estimate) else cell


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
