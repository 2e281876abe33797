"""The import of Delphi runs on both databases: explanations and scores of neurons that are here."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.exchange.delphi import import_delphi
from app.exchange.report import ImportReport
from app.explanations.models import DONE, FAILED, Explanation, Score
from app.neurons.models import Neuron
from tests.exchange.foreign_files import SUBJECT
from tests.exchange.stopping_database import stopped_at
from tests.exchange.test_delphi_files import example
from tests.factories import make_neuron, make_subject

RIGHT = [example(True, True), example(False, False)]
HALF = [example(True, True), example(False, True)]
EXPLAINER = "openai:gpt-4"


@pytest.fixture(autouse=True, params=["done", None], ids=["recorded", "imported"])
def subject(database: Database, request: pytest.FixtureRequest) -> None:
    """Neurons 6:0 to 6:6, recorded here or imported before: a Delphi run fits both."""
    with database.writing() as session:
        subject = make_subject(session, SUBJECT, n_layers=7, n_neurons_per_layer=7, recording_status=request.param)
        for index in range(7):
            make_neuron(session, subject, layer=6, index=index)


def write_explanation(run: Path, index: int, content: Any, hookpoint: str = "layers.6.mlp") -> None:
    write(run / "explanations" / f"{hookpoint}_latent{index}.txt", json.dumps(content))


def write_score(run: Path, scorer: str, index: int, content: Any, hookpoint: str = "layers.6.mlp") -> None:
    write(run / "scores" / scorer / f"{hookpoint}_latent{index}.txt", json.dumps(content))


def write(file: Path, text: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def imported(database: Database, run: Path, explainer: str = EXPLAINER, subject: str = SUBJECT) -> ImportReport:
    report = ImportReport("delphi")
    import_delphi(database, run, subject=subject, explainer=explainer, report=report)
    return report


def rejects(report: ImportReport) -> list[tuple[str, str]]:
    return [(rejected.place, rejected.reason) for rejected in report.rejects]


def stored_texts(database: Database) -> list[tuple[int, int, int, str, str | None, str | None]]:
    """Layer, index, sample number, status, received text and text."""
    query = (
        sa.select(Neuron, Explanation)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .order_by(Neuron.index, Explanation.sample_number)
    )
    with database.reading() as session:
        rows = session.execute(query).all()
    assert {(said.method, said.explainer, said.prompt_pack, said.side) for _, said in rows} <= {
        ("imported", EXPLAINER, "imported:delphi", "positive")
    }
    return [
        (neuron.layer, neuron.index, said.sample_number, said.status, said.text_received, said.text)
        for neuron, said in rows
    ]


def stored_scores(database: Database) -> list[tuple[int, str, str, float | None, str | None]]:
    query = (
        sa.select(Neuron.index, Score)
        .join(Explanation, Explanation.id == Score.explanation_id)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .order_by(Neuron.index, Score.metric)
    )
    with database.reading() as session:
        return [
            (index, score.metric, score.scorer, score.value, score.reason) for index, score in session.execute(query)
        ]


def test_a_run_gives_explanations_and_scores(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "  names of rivers")
    write_explanation(tmp_path, 2, "Numbers.")
    write_score(tmp_path, "detection", 1, RIGHT)
    write_score(tmp_path, "fuzz", 1, HALF)
    write_score(tmp_path, "detection", 2, HALF[:1])
    report = imported(database, tmp_path)
    assert report.summary() == "Imported delphi: 2 explanations, 3 scores"
    assert stored_texts(database) == [
        (6, 1, 0, DONE, "  names of rivers", "Names of rivers."),
        (6, 2, 0, DONE, "Numbers.", "Numbers."),
    ]
    assert stored_scores(database) == [
        (1, "detection", "imported", 1.0, None),
        (1, "fuzzing", "imported", 0.5, None),
        (2, "detection", "imported", None, "no non-activating example"),
    ]


def test_the_details_of_a_score_are_its_counts(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "names")
    write_score(tmp_path, "detection", 1, [*HALF, example(False, None)])
    imported(database, tmp_path)
    with database.reading() as session:
        details = session.scalars(sa.select(Score.details)).one()
    assert details == {"n": 3, "n_activating": 1, "n_correct": 1, "n_unparsed": 1, "accuracy": 0.5}


@pytest.mark.parametrize("text", ["Explanation could not be parsed.", "No explanation found", "", " ..."])
def test_a_failed_explanation_is_a_status_and_is_not_scored(database: Database, tmp_path: Path, text: str) -> None:
    write_explanation(tmp_path, 1, text)
    write_explanation(tmp_path, 2, "names")
    write_score(tmp_path, "detection", 1, RIGHT)
    report = imported(database, tmp_path)
    assert stored_texts(database) == [(6, 1, 0, FAILED, text, None), (6, 2, 0, DONE, "names", "Names.")]
    assert stored_scores(database) == []
    assert rejects(report) == [
        (
            "scores/detection/layers.6.mlp_latent1.txt",
            "the explanation failed, so nothing is scored; expected a text in explanations/layers.6.mlp_latent1.txt",
        )
    ]


def test_files_that_cannot_be_used_are_reported_and_the_rest_is_taken(database: Database, tmp_path: Path) -> None:
    explanations, scores = tmp_path / "explanations", tmp_path / "scores" / "detection"
    write_explanation(tmp_path, 0, "names \0 and \ud800")
    write(explanations / "layers.6.mlp_latent1.txt", '"names')
    write(explanations / "layers.6.mlp_latent2.txt", b'"\xff"')
    write_explanation(tmp_path, 3, ["names"])
    write_explanation(tmp_path, 4, "numbers")
    write_explanation(tmp_path, 9, "of a neuron that is not here")
    write(explanations / "layers.6_latent5.txt", '"of the residual stream"')
    write(explanations / "notes.txt", "")
    write(explanations / ".DS_Store", "")
    write(tmp_path / "run_config.json", "{}")
    write_score(tmp_path, "detection", 0, [{"activating": True}])
    write(scores / "layers.6.mlp_latent4.txt", "NaN")
    write_score(tmp_path, "detection", 5, RIGHT)
    found = dict(rejects(imported(database, tmp_path)))
    assert sorted(found) == [
        "explanations/layers.6.mlp_latent1.txt",
        "explanations/layers.6.mlp_latent2.txt",
        "explanations/layers.6.mlp_latent3.txt",
        "explanations/layers.6.mlp_latent9.txt",
        "explanations/layers.6_latent5.txt",
        "explanations/notes.txt",
        "scores/detection/layers.6.mlp_latent0.txt",
        "scores/detection/layers.6.mlp_latent4.txt",
        "scores/detection/layers.6.mlp_latent5.txt",
    ]
    assert found["explanations/layers.6.mlp_latent9.txt"] == f"{SUBJECT} has no neuron 6:9 here"
    assert found["explanations/layers.6_latent5.txt"].startswith("the hookpoint 'layers.6' is no MLP of a layer")
    assert found["scores/detection/layers.6.mlp_latent4.txt"] == "a JSON float; expected a list of examples"
    assert found["scores/detection/layers.6.mlp_latent5.txt"].startswith("no explanation to score")
    assert [(row[1], row[-1]) for row in stored_texts(database)] == [(0, "Names \u2400 and \ufffd."), (4, "Numbers.")]
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Neuron)) == 7


def test_scores_that_come_later_join_their_explanations(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "names")
    write_explanation(tmp_path, 2, "No explanation found")
    imported(database, tmp_path)
    write_score(tmp_path, "detection", 1, RIGHT)
    report = imported(database, tmp_path)
    assert (report.n_explanations, report.n_scores, report.n_already_there) == (0, 1, 2)
    before = (stored_texts(database), stored_scores(database))
    again = imported(database, tmp_path)
    assert (again.n_explanations, again.n_scores, again.n_already_there) == (0, 0, 2)
    assert (stored_texts(database), stored_scores(database)) == before


def test_another_run_of_the_same_explainer_adds_samples(database: Database, tmp_path: Path) -> None:
    for run, text in (("first", "names"), ("second", "rivers")):
        write_explanation(tmp_path / run, 1, text)
        imported(database, tmp_path / run)
    assert [(row[2], row[-1]) for row in stored_texts(database)] == [(0, "Names."), (1, "Rivers.")]


def test_an_import_that_was_stopped_goes_on_when_it_is_run_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.explanations.N_EXPLANATIONS_PER_BATCH", 2)
    for index in range(5):
        write_explanation(tmp_path, index, f"number {index}")
        write_score(tmp_path, "detection", index, RIGHT)
    with stopped_at(database, 2) as stopping, pytest.raises(KeyboardInterrupt):
        imported(stopping, tmp_path)
    assert len(stored_texts(database)) == len(stored_scores(database)) == 2
    report = imported(database, tmp_path)
    assert (report.n_explanations, report.n_scores, report.n_already_there) == (3, 3, 2)
    assert [(row[1], row[-1]) for row in stored_texts(database)] == [(index, f"Number {index}.") for index in range(5)]
    assert [row[:2] for row in stored_scores(database)] == [(index, "detection") for index in range(5)]


def test_a_run_on_another_module_is_one_error(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "names", hookpoint="layers.6")
    write_explanation(tmp_path, 2, "names", hookpoint="layers.6")
    with pytest.raises(InvalidInput, match=r"^no explanation of an MLP neuron; explanations/layers\.6_latent1"):
        imported(database, tmp_path)


def test_two_hookpoints_of_one_layer_are_refused(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "names", hookpoint="layers.6.mlp")
    write_explanation(tmp_path, 1, "other names", hookpoint="layers.6.mlp.act")
    with pytest.raises(InvalidInput, match=r"layers\.6\.mlp\.act and layers\.6\.mlp are both of layer 6"):
        imported(database, tmp_path)
    assert stored_texts(database) == []


def test_a_folder_that_is_no_run_is_one_error(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(InvalidInput, match=r"no explanation of an MLP neuron; .* has none; expected"):
            imported(database, path)


def test_an_unknown_subject_is_one_error(database: Database, tmp_path: Path) -> None:
    write_explanation(tmp_path, 1, "names")
    with pytest.raises(UnknownName, match="'nobody'"):
        imported(database, tmp_path, subject="nobody")


@pytest.mark.parametrize("explainer", ["", "x" * 201])
def test_an_explainers_name_has_to_fit(database: Database, tmp_path: Path, explainer: str) -> None:
    write_explanation(tmp_path, 1, "names")
    with pytest.raises(InvalidInput, match="expected 1-200"):
        imported(database, tmp_path, explainer=explainer)
