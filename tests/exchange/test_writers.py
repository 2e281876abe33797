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
from app.neurons.models import SubjectModel
from app.studies.dealing.showing import explanations_of
from app.studies.models import Study
from tests.exchange.foreign_files import SUBJECT, records_of
from tests.factories import make_neuron, make_subject
from tests.studies.factories import EXPLAINER, make_draft, make_explained_subject

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


def test_of_a_band_no_more_than_a_hundred_records_are_kept(database: Database) -> None:
    records = [ImportedRecord(["word"], [value]) for value in range(1, 104)]
    report = add_neuron(database, {"top": records, "random": [WORD]})
    assert [values for _, values in records_of(database)[0, 0, "top"]] == [[value] for value in range(103, 3, -1)]
    assert report.n_records == 101
    assert report.remarks == ["3 records not kept: beyond the first 100 of a band"]


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
        ({"method": "chain of thought"}, "the method is 'chain of thought'; expected a-z, 0-9, _ and -"),
        ({"method": "-cot"}, "expected a-z, 0-9, _ and -"),
        ({"explainer": "openai:gpt\n4"}, "the explainer is 'openai:gpt\\n4'; expected printable characters"),
        ({"explainer": " openai:gpt-4"}, "expected printable characters without outer blanks"),
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


@pytest.mark.parametrize(
    ("explainer", "stored"),
    [("none", "none"), ("openai:gpt-4", "openai:gpt-4"), ("gpt-4", "imported:gpt-4"), (":x", "imported:x")],
)
def test_an_explainer_without_a_kind_is_marked_as_imported(
    database: Database, neuron_id: int, explainer: str, stored: str
) -> None:
    add_explanation(database, explainer=explainer)
    with database.reading() as session:
        assert session.scalars(sa.select(Explanation.explainer)).all() == [stored]


def test_a_batch_ends_at_very_many_simulated_tokens(
    database: Database, neuron_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.explanations.N_TOKENS_PER_BATCH", 3)
    report = ImportReport("test")
    with ExplanationWriter(database, "toy", report) as writer:
        for text in ("a", "b", "c"):
            score = ImportedScore("simulation", "s", 0.5, None, {}, [(["one", "two"], [1.0, 2.0], None)])
            writer.add(ImportedExplanation(0, 0, "m", "e:x", "p", text, None, [score]), "FILE")
            if text == "b":
                assert report.n_explanations == 2
    assert report.n_explanations == 3


def test_what_is_imported_later_changes_no_text_of_a_draft(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        study = make_draft(session, "demo", n_per_layer=1)
        before = {place: shown.text for place, shown in explanations_of(session, study).items()}
    report = ImportReport("test")
    with ExplanationWriter(database, "toy-demo", report) as writer:
        for index in (0, 1):
            for layer in (0, 1):
                said = ImportedExplanation(layer, index, "hs", EXPLAINER, "imported:new", "other words", None)
                writer.add(said, "FILE")
    assert report.n_explanations == 4
    with database.reading() as session:
        found = explanations_of(session, session.get_one(Study, study.id))
        assert {place: shown.text for place, shown in found.items()} == before
