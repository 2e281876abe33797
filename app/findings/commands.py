"""`neuronjury tables`: the paper's tables from what is stored, on the terminal or as files."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.errors import InvalidInput
from app.findings.building import TABLE_NAMES, finding_of
from app.findings.formats import FORMATS, as_json, as_text
from app.findings.pages import figures_of, shown_table
from app.findings.queries import chosen_subject
from app.findings.table import Table
from app.migrating import opened_database
from app.settings import Settings
from app.web.templating import environment


class Format(StrEnum):
    TEXT = "text"
    CSV = "csv"
    LATEX = "latex"
    JSON = "json"
    HTML = "html"


ENDINGS = {Format.TEXT: "txt", Format.HTML: "html"} | {Format(name): each.ending for name, each in FORMATS.items()}


def tables(
    subject: Annotated[str | None, typer.Option(help="Name of the subject model; default: the only one.")] = None,
    table: Annotated[str, typer.Option(help=f"Which, parted by commas: {', '.join(TABLE_NAMES)}; default all.")] = "",
    neurons: Annotated[
        str | None, typer.Option(help="Name of a neuron set; default: all neurons, and each set.")
    ] = None,
    format: Annotated[Format, typer.Option(help="CSV on the terminal takes one table.")] = Format.TEXT,
    out: Annotated[Path | None, typer.Option(help="Folder for one file per table, made if need be.")] = None,
) -> None:
    """Print the paper's tables 1, 2, 3, 4, 6, 7 and figure 3 from what is stored.

    Table 5 is made by: neuronjury study results.
    """
    names = _table_names(table)
    if format == Format.CSV and out is None and len(names) != 1:
        raise InvalidInput("CSV holds one table: name it with --table, or a folder for several with --out")
    built = _built(subject, names, neurons)
    if out is None:
        typer.echo(_written(built, format), nl=False)
        return
    for path in _store(built, format, out):
        typer.echo(path)


def _table_names(text: str) -> list[str]:
    """Each once, in the order given; all of an empty text. Errors: UnknownName."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        finding_of(name)
    return names or list(TABLE_NAMES)


def _built(subject_name: str | None, names: Sequence[str], set_name: str | None) -> list[Table]:
    with opened_database(Settings()) as database, database.reading() as session:
        subject = chosen_subject(session, subject_name)
        findings = {finding.number: finding for finding in map(finding_of, names)}
        built = {
            table.name: table for finding in findings.values() for table in finding.build(session, subject, set_name)
        }
    return [built[name] for name in names]


def _written(built: Sequence[Table], format: Format) -> str:
    if format == Format.JSON:
        return as_json(built)
    if format == Format.HTML:
        return _as_html(built)
    write = as_text if format == Format.TEXT else FORMATS[format].write
    return "\n".join(map(write, built))


def _as_html(built: Sequence[Table]) -> str:
    template = environment().get_template("findings/standalone.html")
    return template.render(tables=[shown_table(table) for table in built], figures=figures_of(built)) + "\n"


def _store(built: Sequence[Table], format: Format, folder: Path) -> list[Path]:
    """One file each: table1.csv, table2-differences.csv, figure3-layers.csv. Errors: InvalidInput."""
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in built:
            name = table.name if table.name.startswith("figure") else f"table{table.name}"
            path = folder / f"{name}.{ENDINGS[format]}"
            path.write_text(_written([table], format), encoding="utf-8", newline="")
            paths.append(path)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be written: {error.strerror}") from None
    return paths
