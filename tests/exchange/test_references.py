"""The reference CSV: each row a neuron's reference with its score."""

from pathlib import Path

import pytest

from app.database import Database
from app.errors import InvalidInput
from app.exchange.references import import_references
from app.exchange.report import ImportReport
from tests.exchange.paper_files import said, scores, write_csv

HEADER = ("layer", "neuron", "score", "explanation")


def take(database: Database, path: Path, **options: str) -> ImportReport:
    report = ImportReport("references")
    import_references(database, path, subject="gpt2-xl", report=report, **options)
    return report


def test_a_row_is_a_reference_with_the_score_it_was_given(database: Database, tmp_path: Path) -> None:
    rows = [(0, 5, "0.4375", ' words about "cats", mostly'), (47, 6399, "", "dogs"), (0, 6, "NaN", "birds")]
    path = write_csv(tmp_path / "references.csv", HEADER, *rows)
    assert take(database, path).summary() == (
        "Imported references: 3 explanations, 3 scores; 3 neurons made without activations"
    )
    assert said(database, "gpt2-xl") == [
        (0, 5, "reference", "openai:gpt-4", 0, ' words about "cats", mostly'),
        (0, 6, "reference", "openai:gpt-4", 0, "birds"),
        (47, 6399, "reference", "openai:gpt-4", 0, "dogs"),
    ]
    undefined = ("simulation", "imported", None, "the imported file gives no score")
    assert scores(database) == [("simulation", "imported", 0.4375, None), undefined, undefined]
    assert take(database, path).summary() == "Imported references: nothing new; 3 already there"


def test_who_explained_may_be_another(database: Database, tmp_path: Path) -> None:
    take(database, write_csv(tmp_path / "r.csv", HEADER, (0, 0, 1, "cats")), explainer="openai:gpt-4o")
    assert said(database, "gpt2-xl")[0][3] == "openai:gpt-4o"


def test_rows_that_cannot_be_used_are_named(database: Database, tmp_path: Path) -> None:
    rows = [(0, 0, "high", "cats"), (0, 1, 0.5, "  "), (-1, 0, 0.5, "cats"), (0, 3, 0.5, "dogs")]
    report = take(database, write_csv(tmp_path / "r.csv", HEADER, *rows))
    assert [(rejected.place.rsplit(" ", 1)[1], rejected.reason) for rejected in report.rejects] == [
        ("2", "the score is 'high'; expected a number, or nothing"),
        ("3", "the explanation is empty; expected a text"),
        ("4", "the layer is '-1'; expected a whole number from 0"),
    ]
    assert report.n_explanations == 1


def test_other_columns_are_one_error(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has the columns layer,neuron; expected layer,neuron,score,explanation"):
        take(database, write_csv(tmp_path / "r.csv", HEADER[:2], (0, 0)))
