"""Imports the explanations that came with arXiv 2310.06200, "The Importance of Prompt Tuning for Automated Neuron
Explanations": CSV files of neurons, for a subject such as gpt2-xl, or of puzzles, for a subject of puzzles."""

from collections.abc import Sequence
from pathlib import Path

from app.database import Database
from app.errors import InvalidInput
from app.exchange.csv_files import BadRow, CsvFile, CsvRow, csv_files
from app.exchange.explained import checked_explainer
from app.exchange.explanations import ExplanationWriter
from app.exchange.paper_result_rows import METHODS, Kind, PaperRow, imported, kind_of, paper_row
from app.exchange.puzzle_truths import stored_truths, truth_of
from app.exchange.report import ImportReport
from app.exchange.subjects import UNKNOWN, locked_subject
from app.explanations.texts import as_shown
from app.neurons.names import PUZZLES
from app.neurons.sets import checked_set_name, save_set


def import_paper_results(
    database: Database,
    path: Path,
    *,
    subject: str,
    explainer: str,
    report: ImportReport,
    neuron_set: str | None = None,
) -> None:
    """Stores the explanations of one file or of all CSV files of a folder; neurons that are not here are made without
    activations.

    explainer: whose they are, which no file says. neuron_set: a name for the neurons of the files, which are kept
    together under it. The truth of a puzzle becomes its reference.
    Errors: InvalidInput, before anything is stored, for a header of another kind, for files of neurons beside files of
    puzzles, and for a name that cannot be stored; Conflict for a subject of the other kind, and for a set of that name
    with other neurons.
    """
    checked_explainer(explainer)
    if neuron_set is not None:
        checked_set_name(neuron_set)
    files = csv_files(path)
    kind = _kind_of_all(files)
    architecture = PUZZLES if kind is Kind.PUZZLES else UNKNOWN
    truths = stored_truths(database, subject) if kind is Kind.PUZZLES else {}
    with ExplanationWriter(database, subject, report, makes_neurons=True, architecture=architecture) as writer:
        for file in files:
            for row in file.rows():
                if isinstance(row, BadRow):
                    report.reject(row.place, row.reason)
                else:
                    _add_row(writer, row, kind, explainer, truths, report)
    if neuron_set is not None and writer.neuron_ids:
        names = [file.path.name for file in files]
        _save_set(database, subject, neuron_set, sorted(writer.neuron_ids), names)


def _save_set(database: Database, subject: str, name: str, neuron_ids: Sequence[int], files: Sequence[str]) -> None:
    in_words = f"Those of the imported results in {' and '.join(files)}."
    chosen = {"kind": "paper-results", "files": list(files), "in_words": in_words}
    with database.writing() as session:
        save_set(session, locked_subject(session, subject), name, neuron_ids, chosen)


def _kind_of_all(files: Sequence[CsvFile]) -> Kind:
    kinds = {kind_of(file.columns, str(file.path)): file.path for file in files}
    if len(kinds) > 1:
        of_neurons, of_puzzles = kinds[Kind.NEURONS], kinds[Kind.PUZZLES]
        raise InvalidInput(f"{of_neurons} is about neurons and {of_puzzles} about puzzles; expected files of one kind")
    return next(iter(kinds))


def _add_row(
    writer: ExplanationWriter, row: CsvRow, kind: Kind, explainer: str, truths: dict[int, str], report: ImportReport
) -> None:
    try:
        found = paper_row(row, kind)
        if found.truth is not None:
            _add_truth(writer, found, found.truth, truths, row.place)
    except InvalidInput as error:
        report.reject(row.place, str(error))
        return
    for method in METHODS.values():
        try:
            writer.add(imported(found, method, explainer), row.place)
        except InvalidInput as error:
            report.reject(row.place, str(error))


def _add_truth(writer: ExplanationWriter, row: PaperRow, truth: str, truths: dict[int, str], place: str) -> None:
    """Adds what is true of the row's puzzle, once. truths: of the puzzles so far, as shown, by index.

    Errors: InvalidInput when it is empty, or another than that of the puzzle that is here.
    """
    as_read = as_shown(truth)
    if not as_read:
        raise InvalidInput("the GT Explanation is empty; expected what is true of the puzzle")
    if row.index not in truths:
        truths[row.index] = as_read
        writer.add(truth_of(row.index, truth), place)
    elif truths[row.index] != as_read:
        known = truths[row.index]
        raise InvalidInput(
            f"the GT Explanation is {as_read!r}; expected {known!r}, which is true of puzzle {row.index}; do the "
            "file's ids count from 1? The first puzzle is 0 here"
        )
