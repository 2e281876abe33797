"""What every import shares: how neurons and explanations are checked and stored, whatever file they came from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from app.exchange.explanations import ExplanationWriter, ImportedExplanation, ImportedScore
from app.exchange.neurons import ImportedNeuron, ImportedRecord, NeuronWriter
from app.exchange.report import ImportReport
from app.explanations.models import Explanation, Score
from app.neurons.models import Neuron, SubjectModel
from tests.exchange.foreign_files import SUBJECT, records_of, statistics_of
from tests.factories import make_neuron, make_subject

WORD = ImportedRecord(["word"], [2.0])


class Stopped(Exception):
    """Whoever reads the file fails."""


def add_neuron(database: Database, bands: Mapping[str, Sequence[ImportedRecord]], **statistics: Any) -> ImportReport:
    report = ImportReport("test")
    with NeuronWriter(database, SUBJECT, report) as writer:
        writer.add(ImportedNeuron(0, 0, bands, statistics), "FILE")
    return report


def add_explanation(database: Database, **changed: Any) -> ImportReport:
    values = {"layer": 0, "index": 0, "method": "m", "explainer": "e", "prompt_pack": "p", "text": "a", "failure": None}
    report = ImportReport("test")
    with ExplanationWriter(database, "toy", report) as writer:
        writer.add(ImportedExplanation(**(values | changed)), "FILE")
    return report


def add_and_fail(writer: Any, imported: ImportedNeuron | ImportedExplanation) -> None:
    with writer:
        writer.add(imported, "FILE")
        raise Stopped


@pytest.fixture
def neuron_id(database: Database) -> int:
    """The neuron 0:0 of the subject toy."""
    with database.writing() as session:
        return make_neuron(session, make_subject(session)).id


def test_the_bottom_band_begins_with_the_most_negative(database: Database) -> None:
    bottom = [ImportedRecord(["a"], [-1.0]), ImportedRecord(["b", "c"], [9.0, -2.0]), ImportedRecord(["d"], [-1.5])]
    add_neuron(database, {"bottom": bottom})
    assert [tokens for tokens, _ in records_of(database)[0, 0, "bottom"]] == [["b", "c"], ["d"], ["a"]]


def test_a_maximum_beyond_the_kept_records_is_believed_but_its_place_unknown(database: Database) -> None:
    add_neuron(database, {"top": [WORD]}, maximum=3.5, share_active=0.25, q90_negative=0.125)
    assert statistics_of(database) == {(0, 0): {"maximum": 3.5, "share_active": 0.25, "q90_negative": 0.125}}
    with database.reading() as session:
        assert session.execute(sa.select(Neuron.maximum_excerpt, Neuron.maximum_token)).one() == (None, None)


def test_a_maximum_below_the_kept_records_is_not_believed(database: Database) -> None:
    add_neuron(database, {"top": [WORD]}, maximum=1.0)
    assert statistics_of(database)[0, 0]["maximum"] == 2.0


def test_a_band_that_is_not_known_is_refused(database: Database) -> None:
    report = add_neuron(database, {"best": [WORD]})
    assert report.rejects[0].reason.startswith("the band is 'best'; expected some of top")


def test_neurons_that_wait_are_not_stored_when_the_reading_fails(database: Database) -> None:
    report = ImportReport("test")
    with pytest.raises(Stopped):
        add_and_fail(NeuronWriter(database, SUBJECT, report), ImportedNeuron(0, 0, {"top": [WORD]}, {}))
    with database.reading() as session:
        assert session.scalars(sa.select(SubjectModel)).all() == []
    assert not report.has_taken


def test_explanations_that_wait_are_not_stored_when_the_reading_fails(database: Database, neuron_id: int) -> None:
    report = ImportReport("test")
    with pytest.raises(Stopped):
        add_and_fail(ExplanationWriter(database, "toy", report), ImportedExplanation(0, 0, "m", "e", "p", "text", None))
    with database.reading() as session:
        assert session.scalars(sa.select(Explanation)).all() == []


def test_a_failure_keeps_what_came_instead_but_has_no_text(database: Database, neuron_id: int) -> None:
    for _ in range(2):
        add_explanation(database, text="I cannot.", failure="refusal")
    with database.reading() as session:
        failed = session.scalars(sa.select(Explanation)).one()
    assert (failed.status, failed.text, failed.text_received, failed.failure, failed.sample_number) == (
        *("failed", None, "I cannot.", "refusal", 0),
    )


def test_a_new_metric_of_an_explanation_that_is_here_is_added(database: Database, neuron_id: int) -> None:
    scores = [ImportedScore(metric, "s", 0.5, None, {}) for metric in ("detection", "fuzzing")]
    assert add_explanation(database, scores=scores[:1]).n_scores == 1
    report = add_explanation(database, scores=[*scores, scores[1]])
    assert (report.n_explanations, report.n_already_there, report.n_scores) == (0, 1, 1)
    with database.reading() as session:
        assert session.scalars(sa.select(Score.metric).order_by(Score.id)).all() == ["detection", "fuzzing"]


def test_details_are_stored_without_what_json_columns_refuse(database: Database, neuron_id: int) -> None:
    details = {"a\0": [float("nan"), 1, "\0"], "b": {"c": (float("-inf"), True, None)}}
    add_explanation(database, scores=[ImportedScore("m", "s", 1, "not needed", details)])
    with database.reading() as session:
        score = session.scalars(sa.select(Score)).one()
    assert (score.value, score.reason) == (1.0, None)
    assert score.details == {"a␀": [None, 1, "␀"], "b": {"c": [None, True, None]}}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"prompt_pack": "p" * 101}, "has 101 characters; expected 1-100"),
        ({"failure": "f" * 31}, "has 31 characters; expected 1-30"),
        ({"scores": [ImportedScore("m" * 51, "s", 1.0, None, {})]}, "has 51 characters; expected 1-50"),
        ({"scores": [ImportedScore("m", "s" * 201, 1.0, None, {})]}, "has 201 characters; expected 1-200"),
        ({"layer": 3}, "toy has no neuron 3:0 here"),
    ],
)
def test_what_the_tables_cannot_hold_is_a_reject(
    database: Database, neuron_id: int, changed: dict[str, Any], reason: str
) -> None:
    report = add_explanation(database, **changed)
    assert [rejected.place for rejected in report.rejects] == ["FILE"]
    assert reason in report.rejects[0].reason
    with database.reading() as session:
        assert session.scalars(sa.select(Explanation)).all() == []
