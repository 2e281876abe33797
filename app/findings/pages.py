"""What the page of tables shows: one of the paper's tables for one subject model, as cells that are texts already."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import ClassVar
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from app.findings.building import FINDINGS, Finding
from app.findings.figure3 import Drawing, drawings
from app.findings.formats import FORMATS
from app.findings.queries import neuron_set_names, readable_subjects
from app.findings.table import Cell, Column, Table, shown
from app.neurons.models import SubjectModel
from app.web.templating import PageContext

FORMAT_TITLES = {"csv": "CSV", "latex": "LaTeX", "json": "JSON"}


@dataclass(frozen=True)
class ShownCell:
    """is_number: stands on the right. is_code: a name that a program gave."""

    text: str
    is_number: bool
    is_code: bool


@dataclass(frozen=True)
class ShownBody:
    """heading: what all its rows are about, or empty."""

    heading: str
    rows: tuple[tuple[ShownCell, ...], ...]


@dataclass(frozen=True)
class ShownTable:
    """A table as texts. constants: (title of the column, text) of what is the same in all rows, and has no column.
    bodies: rows in parts with a heading; the only one without a heading where every row is about something else.
    downloads: (title of the format, address); empty in a file, which has no addresses. Else as in `Table`.
    """

    name: str
    number: str
    title: str
    caption: str
    constants: tuple[tuple[str, str], ...]
    header: tuple[ShownCell, ...]
    bodies: tuple[ShownBody, ...]
    notes: tuple[str, ...]
    hint: str
    command: str
    downloads: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tab:
    """A link to one of the paper's tables. number: `Table 2`, `Figure 3`."""

    number: str
    title: str
    address: str
    is_current: bool


@dataclass(frozen=True)
class TablesPage(PageContext):
    """What templates/findings/tables.html shows.

    subject: name of the subject model; None where there is none at all.
    subjects: names of all that may be chosen, puzzles last.
    sets: names of the subject model's neuron sets.
    chosen_set: the one that was chosen, or None.
    number: of the table that is shown, as in addresses.
    tabs: all tables there are.
    tables: the one that is shown, with those that belong to it.
    figures: its drawings.
    """

    template: ClassVar[str] = "findings/tables.html"
    subject: str | None
    subjects: tuple[str, ...]
    sets: tuple[str, ...]
    chosen_set: str | None
    number: str
    tabs: tuple[Tab, ...]
    tables: tuple[ShownTable, ...]
    figures: tuple[Drawing, ...]


def no_tables_page() -> TablesPage:
    """Nothing was recorded or imported yet."""
    return TablesPage(None, (), (), None, "", (), (), ())


def tables_page(session: Session, subject: SubjectModel, finding: Finding, set_name: str | None) -> TablesPage:
    """set_name: all neurons where the subject model has no such set, as after a change of the model in the form."""
    sets = tuple(neuron_set_names(session, subject.id))
    set_name = set_name if set_name in sets else None
    tables = finding.build(session, subject, set_name)
    # Where there is nothing yet, one table says so for those that belong to it.
    filled = [table for table in tables if table.rows]
    return TablesPage(
        subject=subject.name,
        subjects=tuple(name for name, _ in readable_subjects(session)),
        sets=sets,
        chosen_set=set_name,
        number=finding.number,
        tabs=tuple(_tab(one, subject.name, set_name, finding) for one in FINDINGS.values()),
        tables=tuple(shown_table(table, _downloads(table, subject.name, set_name)) for table in filled or tables[:1]),
        figures=figures_of(tables),
    )


def figures_of(tables: Sequence[Table]) -> tuple[Drawing, ...]:
    """Drawings of the tables of Figure 3; none of the others."""
    by_name = {table.name: table for table in tables}
    both = [by_name.get(name) for name in FINDINGS["figure3"].tables]
    by_layer, by_score = both
    return () if by_layer is None or by_score is None else drawings(by_layer, by_score)


def shown_table(table: Table, downloads: Sequence[tuple[str, str]] = ()) -> ShownTable:
    grouping = [index for index, column in enumerate(table.columns) if column.is_group]
    # The first column names the row, however often it says the same.
    constant = [index for index in grouping if index and len(_texts(table, index)) == 1]
    heads = _heads(table, [index for index in grouping if index not in constant])
    is_parted = 0 in grouping and len(set(heads)) < len(heads)
    dropped = grouping if is_parted else constant
    kept = [index for index in range(len(table.columns)) if index not in dropped]
    return ShownTable(
        name=table.name,
        number=table.number,
        title=table.title,
        caption=table.caption,
        constants=tuple((table.columns[index].title, _texts(table, index).pop()) for index in constant),
        header=tuple(_shown_cell(table.columns[index], table.columns[index].title) for index in kept),
        bodies=_bodies(table, kept, heads if is_parted else [""] * len(heads)),
        notes=tuple(table.notes),
        hint=table.hint,
        command=table.command,
        downloads=tuple(downloads) if table.rows else (),
    )


def _texts(table: Table, index: int) -> set[str]:
    """The different texts of a column; a row that has none, such as that of the averages, is about all of them."""
    return {shown(table.columns[index], row[index]) for row in table.rows if row[index] is not None}


def _heads(table: Table, grouping: Sequence[int]) -> list[str]:
    """What each row is about, in one line."""
    return [" · ".join(shown(table.columns[index], row[index]) for index in grouping) for row in table.rows]


def _bodies(table: Table, kept: Sequence[int], heads: Sequence[str]) -> tuple[ShownBody, ...]:
    rows = zip(heads, table.rows, strict=True)
    return tuple(
        ShownBody(
            head, tuple(tuple(_shown_cell(table.columns[index], row[index]) for index in kept) for _, row in group)
        )
        for head, group in groupby(rows, key=itemgetter(0))
    )


def _shown_cell(column: Column, cell: Cell) -> ShownCell:
    return ShownCell(shown(column, cell), column.is_number, column.kind == "code")


def _tab(one: Finding, subject_name: str, set_name: str | None, current: Finding) -> Tab:
    number = "Figure 3" if one.number == "figure3" else f"Table {one.number}"
    address = _address("/tables", subject_name, set_name, table=one.number)
    return Tab(number, one.title, address, one is current)


def _downloads(table: Table, subject_name: str, set_name: str | None) -> list[tuple[str, str]]:
    return [
        (title, _address(f"/tables/{table.name}.{FORMATS[name].ending}", subject_name, set_name))
        for name, title in FORMAT_TITLES.items()
    ]


def _address(path: str, subject_name: str, set_name: str | None, **more: str) -> str:
    chosen = {} if set_name is None else {"neurons": set_name}
    return f"{path}?{urlencode({'subject': subject_name} | more | chosen)}"
