"""Imports reference explanations with their scores, as published beside NeuronViewer: a CSV with the columns
layer,neuron,score,explanation."""

import math
from pathlib import Path

from app.database import Database
from app.errors import InvalidInput
from app.exchange.csv_files import BadRow, CsvRow, csv_files, names, whole_number
from app.exchange.explained import ImportedExplanation, ImportedScore, checked_explainer
from app.exchange.explanations import ExplanationWriter
from app.exchange.report import ImportReport
from app.exchange.storable import shown
from app.exchange.subjects import UNKNOWN
from app.explanations.methods import IMPORTED, REFERENCE

COLUMNS = ("layer", "neuron", "score", "explanation")
EXPLAINER = "openai:gpt-4"
PROMPT_PACK = "neuronviewer"
METRIC, SCORER = "simulation", IMPORTED
UNDEFINED = "the imported file gives no score"


def import_references(
    database: Database, path: Path, *, subject: str, report: ImportReport, explainer: str = EXPLAINER
) -> None:
    """Stores what each row says as the reference of its neuron, with its score; neurons that are not here are made
    without activations.

    An empty score is an undefined one. Errors: InvalidInput, before anything is stored, for other columns and for a
    name that cannot be stored; Conflict for a subject of puzzles.
    """
    checked_explainer(explainer)
    files = csv_files(path)
    for file in files:
        if not set(COLUMNS) <= set(file.columns):
            raise InvalidInput(f"{file.path} has the columns {names(file.columns)}; expected {names(COLUMNS)}")
    with ExplanationWriter(database, subject, report, makes_neurons=True, architecture=UNKNOWN) as writer:
        for file in files:
            for row in file.rows():
                if isinstance(row, BadRow):
                    report.reject(row.place, row.reason)
                    continue
                try:
                    reference = _reference(row, explainer)
                except InvalidInput as error:
                    report.reject(row.place, str(error))
                else:
                    writer.add(reference, row.place)


def _reference(row: CsvRow, explainer: str) -> ImportedExplanation:
    text = row.cells["explanation"]
    if not text.strip():
        raise InvalidInput("the explanation is empty; expected a text")
    return ImportedExplanation(
        layer=whole_number(row.cells["layer"], "layer"),
        index=whole_number(row.cells["neuron"], "neuron"),
        method=REFERENCE,
        explainer=explainer,
        prompt_pack=PROMPT_PACK,
        text=text,
        failure=None,
        scores=[ImportedScore(METRIC, SCORER, _score(row.cells["score"]), UNDEFINED, {})],
    )


def _score(text: str) -> float | None:
    """None for an empty cell and for NaN, which is how a score without a value is written."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise InvalidInput(f"the score is {shown(text)}; expected a number, or nothing") from None
    return value if math.isfinite(value) else None
