"""Result files in the layout of arXiv 2310.06200 with made-up texts, and what is stored as plain values."""

import csv
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from app.database import Database
from app.explanations.models import Explanation, Score
from app.neurons.models import Neuron, SubjectModel

METHODS = ("Original", "Summary", "Highlight", "HighlightSummary", "AVHS")
HEADER = ("Layer", "Neuron", *METHODS)
PUZZLE_HEADER = ("Puzzle id", "GT Explanation", *METHODS)
OURS = ("original", "summary", "highlight", "hs", "avhs")

Said = tuple[int, int, str, str, int, str | None]
"""Layer, index, method, explainer, sample number, text as received."""


def write_csv(file: Path, *rows: Sequence[object]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows(rows)
    return file


def texts(prefix: str) -> list[str]:
    """One for each method: `cats by Original`, ..."""
    return [f"{prefix} by {method}" for method in METHODS]


def said(database: Database, subject: str) -> list[Said]:
    """Every explanation of the subject, by neuron and in the order in which they were stored."""
    query = (
        sa.select(
            *(Neuron.layer, Neuron.index, Explanation.method, Explanation.explainer),
            *(Explanation.sample_number, Explanation.text_received),
        )
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .join(SubjectModel, SubjectModel.id == Neuron.subject_id)
        .where(SubjectModel.name == subject)
        .order_by(Neuron.layer, Neuron.index, Explanation.id)
    )
    with database.reading() as session:
        return [tuple(row) for row in session.execute(query)]


def scores(database: Database) -> list[tuple[str, str, float | None, str | None]]:
    """Metric, scorer, value and reason of every score."""
    with database.reading() as session:
        rows = session.execute(sa.select(Score.metric, Score.scorer, Score.value, Score.reason).order_by(Score.id))
        return [tuple(row) for row in rows]
