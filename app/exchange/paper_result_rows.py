"""The rows of the result files of arXiv 2310.06200, "The Importance of Prompt Tuning for Automated Neuron
Explanations", of neurons and of puzzles. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from app.errors import InvalidInput
from app.exchange.csv_files import CsvRow, names, whole_number
from app.exchange.explained import ImportedExplanation
from app.exchange.storable import shown

METHODS = {
    "original": "original",
    "summary": "summary",
    "highlight": "highlight",
    "highlightsummary": "hs",
    "avhs": "avhs",
}
"""Our name of each column's method."""
NEURON_COLUMNS = ("layer", "neuron")
PUZZLE_COLUMNS = ("puzzle id", "gt explanation")
PROMPT_PACK = "paper"
_PUZZLE_ID = re.compile(r"\s*([0-9]{1,6}):seed([0-9]{1,4})\s*")


class Kind(Enum):
    """What a file is about."""

    NEURONS = "neurons"
    PUZZLES = "puzzles"


def kind_of(columns: Sequence[str], name: str) -> Kind:
    """What a file of these columns is about. name: of the file, for messages.

    Errors: InvalidInput, which names the columns found, unless they are Layer, Neuron and the five methods, or Puzzle
    id, GT Explanation and the five; a column without a name may come first.
    """
    found = [column for column in columns if column]
    for kind, place in ((Kind.NEURONS, NEURON_COLUMNS), (Kind.PUZZLES, PUZZLE_COLUMNS)):
        if sorted(found) == sorted((*place, *METHODS)):
            return kind
    five = "Original,Summary,Highlight,HighlightSummary,AVHS"
    hint = "; import references takes these" if set(found) == {"layer", "neuron", "score", "explanation"} else ""
    expected = f"Layer,Neuron,{five} or Puzzle id,GT Explanation,{five}"
    raise InvalidInput(f"{name} has the columns {names(columns)}; expected {expected}{hint}")


@dataclass(frozen=True)
class PaperRow:
    """One row. layer, index: of the neuron; a puzzle is a neuron of layer 0. truth: of a puzzle, as written, None of a
    neuron. explanations: by our name of the method, as written; of a puzzle each has the number of its sample."""

    layer: int
    index: int
    sample_number: int | None
    truth: str | None
    explanations: Mapping[str, str]


def paper_row(row: CsvRow, kind: Kind) -> PaperRow:
    """Errors: InvalidInput for a place that is none."""
    explanations = {method: row.cells[column] for column, method in METHODS.items()}
    if kind is Kind.NEURONS:
        layer, index = (whole_number(row.cells[name], name) for name in NEURON_COLUMNS)
        return PaperRow(layer, index, None, None, explanations)
    puzzle = _PUZZLE_ID.fullmatch(row.cells["puzzle id"])
    if puzzle is None:
        found = shown(row.cells["puzzle id"])
        raise InvalidInput(f"the puzzle id is {found}; expected its number and its sample, such as 3:seed0")
    return PaperRow(0, int(puzzle[1]), int(puzzle[2]), row.cells["gt explanation"], explanations)


def imported(row: PaperRow, method: str, explainer: str) -> ImportedExplanation:
    """What a method made of the row's neuron.

    Errors: InvalidInput for an empty cell: it does not say that anything was asked, so it is no failure either.
    """
    text = row.explanations[method]
    if not text.strip():
        raise InvalidInput(f"no explanation by {method} of neuron {row.layer}:{row.index}; expected a text")
    return ImportedExplanation(
        layer=row.layer,
        index=row.index,
        method=method,
        explainer=explainer,
        prompt_pack=PROMPT_PACK,
        text=text,
        failure=None,
        sample_number=row.sample_number,
    )
