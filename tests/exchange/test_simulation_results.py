"""Importing NeuronSimulationResults: explanations, their scores, and what was expected where on which excerpt."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.exchange.neuron_records import import_neuron_records
from app.exchange.report import ImportReport
from app.exchange.simulation_results import import_simulation_results
from app.explanations.models import Explanation, Score, SimulatedExcerpt
from app.neurons.models import Excerpt
from tests.exchange.foreign_files import CAT, DOG, SUBJECT, Json, Record, n_excerpts, neuron_record, write_neurons
from tests.factories import make_explanation, make_neuron, make_record, make_subject

UNDEFINED = "the imported file gives no ev_correlation_score, as for activations that are all the same"


def sequence(record: Record = CAT, *, correlation: Any = 0.75, named: str = "simulation", **others: Any) -> Json:
    tokens, activations = record
    simulation = {
        "dataclass_name": "SequenceSimulation",
        "tokens": tokens,
        "expected_activations": [2 * value for value in activations],
        "activation_scale": "simulated_normalized_activations",
        "distribution_values": [],
        "distribution_probabilities": [],
        **others,
    }
    return {named: simulation, "true_activations": activations, "ev_correlation_score": correlation}


def explained(text: Any = " cats and dogs", sequences: Sequence[Json] = (), *, score: Any = 0.5) -> Json:
    simulation = {
        "dataclass_name": "ScoredSimulation",
        "scored_sequence_simulations": list(sequences),
        "ev_correlation_score": score,
        "rsquared_score": 0.25,
        "absolute_dev_explained_score": None,
    }
    return {"explanation": text, "scored_simulation": simulation}


def results(layer: Any = 0, index: Any = 0, *scored: Json) -> Json:
    place = {"layer_index": layer, "neuron_index": index}
    return {"dataclass_name": "NeuronSimulationResults", "neuron_id": place, "scored_explanations": list(scored)}


def write_lines(file: Path, *lines: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def imported(database: Database, path: Path, **options: Any) -> ImportReport:
    report = ImportReport("simulation-results")
    import_simulation_results(database, path, subject=SUBJECT, report=report, **options)
    return report


def with_neurons(database: Database, folder: Path, *places: tuple[int, int]) -> None:
    records = [neuron_record(layer, index) for layer, index in places or [(0, 0)]]
    import_neuron_records(
        database, write_neurons(folder, records), subject=SUBJECT, report=ImportReport("neuron-records")
    )


def explanations(database: Database) -> list[tuple[Any, ...]]:
    row = Explanation
    columns = (row.method, row.explainer, row.prompt_pack, row.sample_number, row.status, row.text, row.failure)
    with database.reading() as session:
        return [tuple(found) for found in session.execute(sa.select(*columns).order_by(row.id))]


def scores(database: Database) -> list[tuple[Any, ...]]:
    columns = (Score.metric, Score.scorer, Score.value, Score.reason, Score.details)
    with database.reading() as session:
        return [tuple(found) for found in session.execute(sa.select(*columns).order_by(Score.id))]


def simulated(database: Database) -> list[tuple[Any, ...]]:
    """Rank, tokens, expected activations and correlation of every simulated excerpt."""
    row = SimulatedExcerpt
    query = sa.select(row.rank, Excerpt.token_texts, row.expected, row.correlation)
    with database.reading() as session:
        rows = session.execute(query.join(Excerpt, Excerpt.id == row.excerpt_id).order_by(row.score_id, row.rank))
        return [
            (rank, texts, np.frombuffer(expected, "<f4").tolist(), correlation)
            for rank, texts, expected, correlation in rows
        ]


def test_an_explanation_comes_with_its_score_and_what_was_simulated(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons", (3, 17))
    other = (["New", " words"], [0.5, 1.0])
    line = results(
        3, 17, explained(sequences=[sequence(CAT), sequence(other, correlation=None, named="sequence_simulation")])
    )
    report = imported(database, write_lines(tmp_path / "results" / "3" / "17.jsonl", line))
    assert (report.n_explanations, report.n_scores, report.rejects) == (1, 1, [])
    assert explanations(database) == [("original", "openai:gpt-4", "imported", 0, "done", "Cats and dogs.", None)]
    details = {"rsquared_score": 0.25, "absolute_dev_explained_score": None, "n_sequences": 2, "n_tokens": 5}
    assert scores(database) == [("simulation", "imported", 0.5, None, details)]
    assert simulated(database) == [(0, CAT[0], [0.0, 10.0, 2.5], 0.75), (1, other[0], [1.0, 2.0], None)]
    assert n_excerpts(database) == 3


def test_the_same_file_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons")
    line = results(0, 0, explained(sequences=[sequence()]), explained(" ", []))
    file = write_lines(tmp_path / "0.jsonl", line, line)
    report = imported(database, file)
    assert (report.n_explanations, report.n_already_there, report.n_scores) == (2, 2, 1)
    before = explanations(database), scores(database), simulated(database)
    report = imported(database, file)
    assert (report.n_explanations, report.n_already_there, report.n_scores) == (0, 4, 0)
    assert (explanations(database), scores(database), simulated(database)) == before


def test_another_text_by_the_same_explainer_is_its_next_sample(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons")
    imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, explained("a"), explained("b"))))
    imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, explained("b"), explained("c"))))
    file = write_lines(tmp_path / "0.jsonl", results(0, 0, explained("a")))
    imported(database, file, method="summary", explainer="openai:gpt-3.5")
    assert [(method, number, text) for method, _, _, number, _, text, _ in explanations(database)] == [
        ("original", 0, "A."),
        ("original", 1, "B."),
        ("original", 2, "C."),
        ("summary", 0, "A."),
    ]
    assert explanations(database)[3][1] == "openai:gpt-3.5"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.5"])
def test_a_score_without_a_value_has_a_reason(database: Database, tmp_path: Path, value: Any) -> None:
    with_neurons(database, tmp_path / "neurons")
    imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, explained(score=value))))
    assert [(found[2], found[3]) for found in scores(database)] == [(None, UNDEFINED)]


def test_an_empty_text_is_a_failure_and_an_explanation_may_have_no_score(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons")
    bare = [{"explanation": text, "scored_simulation": None} for text in ("cats", " \n", None)]
    report = imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, *bare)))
    assert (report.n_explanations, report.n_scores) == (3, 0)
    assert [row[4:] for row in explanations(database)] == [
        ("done", "Cats.", None),
        ("failed", None, "empty"),
        ("failed", None, "empty"),
    ]


def test_texts_are_stored_without_characters_that_a_database_refuses(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons")
    imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, explained("nul \0 and half \ud83d"))))
    assert explanations(database)[0][5] == "Nul ␀ and half �."


def test_a_recorded_subject_keeps_its_excerpts_to_itself(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        subject = make_subject(session, SUBJECT)
        make_record(session, make_neuron(session, subject, 0, 0), tokens=CAT[0], activations=CAT[1])
        make_record(session, make_neuron(session, subject, 0, 1), tokens=DOG[0], activations=DOG[1])
    line = results(0, 0, explained(sequences=[sequence(DOG), sequence(CAT), sequence((["new"], [1.0]))]))
    report = imported(database, write_lines(tmp_path / "0.jsonl", line))
    assert (report.n_explanations, report.n_scores, report.rejects) == (1, 1, [])
    assert simulated(database) == [(1, CAT[0], [0.0, 10.0, 2.5], 0.75)]
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Excerpt.id))) == 2


def test_explanations_made_here_stay_as_they_are(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, SUBJECT))
        make_explanation(session, neuron, explainer="openai:gpt-4", text="cats")
    imported(database, write_lines(tmp_path / "0.jsonl", results(0, 0, explained("cats"))))
    assert [(row[2], row[3], row[5]) for row in explanations(database)] == [
        ("default@0123456789ab", 0, "cats"),
        ("imported", 1, "Cats."),
    ]


WRONG_SEQUENCE = sequence(expected_activations=[1.0])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (results(5, 5, explained()), "gpt2-tiny has no neuron 5:5 here"),
        (results(0, -2, explained()), "the neuron index is -2; expected a whole number"),
        (results(0, 0), "scored_explanations is empty; expected one or more"),
        ({"neuron_id": 3}, "neuron_id is a number; expected an object"),
        ([], "the line is a list; expected an object"),
        (results(0, 0, explained(7)), "the explanation is 7; expected a text"),
        (results(0, 0, {"explanation": "a", "scored_simulation": "high"}), "scored_simulation is a text; expected"),
        (results(0, 0, explained(sequences=[{}])), "the simulation of scored sequence 0 is missing or null"),
        (results(0, 0, explained(sequences=[WRONG_SEQUENCE])), "scored sequence 0 has 3 tokens; expected as many"),
        (
            results(0, 0, explained(sequences=[sequence(), sequence(expected_activations=[1.0, None, 2.0])])),
            "expected activation 1 of scored sequence 1 is null; expected a finite number",
        ),
        (results(0, 0, explained(sequences=[sequence(tokens=[])])), "scored sequence 0 has no tokens"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_rest_is_taken(
    database: Database, tmp_path: Path, line: Any, reason: str
) -> None:
    with_neurons(database, tmp_path / "neurons")
    file = write_lines(tmp_path / "results.jsonl", line, results(0, 0, explained("good")))
    report = imported(database, file)
    assert [rejected.place for rejected in report.rejects] == [f"{file}, line 1"]
    assert reason in report.rejects[0].reason
    assert [row[5] for row in explanations(database)] == ["Good."]
    assert len(scores(database)) == 1


def test_a_line_that_is_no_json_is_named_with_its_number(database: Database, tmp_path: Path) -> None:
    with_neurons(database, tmp_path / "neurons")
    good = json.dumps(results(0, 0, explained()))
    (tmp_path / "0.jsonl").write_text(f"\n{good[:-1]}\n\n{good}\n")
    report = imported(database, tmp_path / "0.jsonl")
    assert [(rejected.place, rejected.reason[:8]) for rejected in report.rejects] == [
        (f"{tmp_path / '0.jsonl'}, line 2", "not JSON")
    ]
    assert report.n_explanations == 1


def test_many_neurons_are_taken_in_batches(database: Database, tmp_path: Path) -> None:
    places = [(layer, index) for layer in range(3) for index in range(150)]
    with_neurons(database, tmp_path / "neurons", *places)
    for layer, index in places:
        scored = explained(f"{layer} {index}", [sequence()])
        write_lines(tmp_path / "results" / str(layer) / f"{index}.jsonl", results(layer, index, scored))
    report = imported(database, tmp_path / "results")
    assert (report.n_explanations, report.n_scores) == (450, 450)
    assert len({row[5] for row in explanations(database)}) == len(simulated(database)) == 450


def test_what_cannot_be_named_is_refused_at_once(database: Database, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "0.jsonl", results(0, 0, explained()))
    with pytest.raises(UnknownName, match="gpt2-tiny"):
        imported(database, file)
    with_neurons(database, tmp_path / "neurons")
    with pytest.raises(InvalidInput, match=r"the method .* has 51 characters; expected 1-50"):
        imported(database, file, method="m" * 51)
    with pytest.raises(InvalidInput, match="the explainer '' has 0 characters"):
        imported(database, file, explainer="")
    assert explanations(database) == []
