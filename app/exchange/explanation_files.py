"""Imports explanations from files in our own form, CSV or JSON lines; app/exchange/explanation_rows.py says what is in
them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.database import Database
from app.errors import InvalidInput
from app.exchange.csv_files import BadRow, csv_files, names
from app.exchange.explanation_rows import NEEDED, imported, of_csv
from app.exchange.explanations import ExplanationWriter
from app.exchange.json_files import read_long_json_lines
from app.exchange.report import ImportReport
from app.exchange.storable import shown

CSV, JSON_LINES = (".csv", ".csv.gz"), (".jsonl", ".jsonl.gz")
Rows = Iterator[tuple[str, dict[str, Any] | InvalidInput]]
"""Place and content of each row, or why it cannot be used."""


def is_csv(path: Path) -> bool:
    """By the file's name. Errors: InvalidInput when it is neither a CSV nor JSON lines."""
    if not path.name.lower().endswith((*CSV, *JSON_LINES)):
        raise InvalidInput(f"the file is {path}; expected a name that ends in .csv or .jsonl")
    return path.name.lower().endswith(CSV)


def import_explanations(database: Database, path: Path, *, subject: str, report: ImportReport) -> None:
    """Stores what every row says; neurons that are not here are made without activations.

    Errors: InvalidInput for a file of another kind, or without the columns that are needed; Conflict for a subject that
    is being recorded.
    """
    rows = _csv_rows(path) if is_csv(path) else _json_rows(path)
    with ExplanationWriter(database, subject, report, makes_neurons=True) as writer:
        for place, content in rows:
            try:
                if isinstance(content, InvalidInput):
                    raise content
                explanation = imported(content)
            except InvalidInput as error:
                report.reject(place, str(error))
            else:
                writer.add(explanation, place)


def _csv_rows(path: Path) -> Rows:
    (file,) = csv_files(path)
    if missing := [name for name in NEEDED if name not in file.columns]:
        raise InvalidInput(f"{path} has the columns {names(file.columns)}; expected {names(missing)} too")
    return _contents(file.rows())


def _contents(rows: Iterator[Any]) -> Rows:
    for row in rows:
        if isinstance(row, BadRow):
            yield row.place, InvalidInput(row.reason)
            continue
        try:
            yield row.place, of_csv(row.cells)
        except InvalidInput as error:
            yield row.place, error


def _json_rows(path: Path) -> Rows:
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}")
    for number, content in read_long_json_lines(path):
        if not isinstance(content, dict | InvalidInput):
            content = InvalidInput(f"the line is {shown(content)}; expected an object")
        yield f"{path}, line {number}", content
