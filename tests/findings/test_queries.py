"""What tables are made of, out of both databases: the right rows, each in its scope, and no others."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.models import FAILED, QUEUED, Score
from app.findings import queries
from app.findings.figure3 import figure3_tables
from app.findings.values import ByCondition, Condition, Neurons
from app.neurons.models import SubjectModel
from tests.factories import make_explanation, make_neuron, make_score, make_subject
from tests.findings.stored import EXPLAINER, SCORER, make_neurons, make_puzzles, make_scored, make_set

CONDITION = Condition("simulation", SCORER, EXPLAINER, "default@0123456789ab")


def plain(found: ByCondition) -> dict[Condition, dict[str, dict[int, float]]]:
    return {
        condition: {
            method: dict(zip(each.neuron_ids.tolist(), each.values.tolist(), strict=True))
            for method, each in methods.items()
        }
        for condition, methods in found.items()
    }


def test_only_what_methods_said_of_this_subject_s_positive_side_counts(database: Database) -> None:
    with database.writing() as session:
        subject, other = make_subject(session), make_subject(session, "other")
        neurons = make_neurons(session, subject, 2)
        make_scored(session, neurons, {"original": [0.25, 0.5], "summary": [0.75, None]})
        make_scored(session, neurons, {"original": [0.9, 0.9]}, "adacs")
        make_scored(session, neurons, {"reference": [0.9, 0.9], "false": [0.1, 0.1]})
        make_scored(session, neurons, {"hs": [0.9, 0.9]}, side="negative")
        make_scored(session, make_neurons(session, other, 2), {"original": [0.9, 0.9]})
        sae = make_neuron(session, subject, 1, 2)
        sae.site = "sae:x"
        make_scored(session, [sae], {"original": [0.9]})
        for sample_number, status in enumerate((QUEUED, FAILED)):
            unfinished = make_explanation(session, neurons[0], "avhs", sample_number=sample_number)
            score = Score(explanation_id=unfinished.id, metric="simulation", scorer="x", status=status, details={})
            score.failure = "refusal" if status == FAILED else None
            session.add(score)
        first, second = (neuron.id for neuron in neurons)
        found = plain(queries.score_values(session, subject.id, ["simulation"]))
        assert found == {CONDITION: {"original": {first: 0.25, second: 0.5}, "summary": {first: 0.75}}}
        everywhere = [Neurons("All neurons", None)]
        place = f"{EXPLAINER} · default@0123456789ab"
        assert queries.notes_without_value(session, subject.id, ["simulation"], everywhere) == [
            f"All neurons · {SCORER} · {place}: 1 undefined score left out (Summary 1).",
            "All neurons · x · local:toy · default@0123456789ab: 1 failed score left out (AVHS 1).",
        ]


def test_samples_of_a_neuron_are_averaged_and_conditions_kept_apart(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 1)
        make_scored(session, neurons, {"original": [0.25]})
        make_scored(session, neurons, {"original": [0.75]}, sample_number=1)
        make_scored(session, neurons, {"original": [None]}, sample_number=2)
        make_scored(session, neurons, {"original": [0.125]}, explainer="local:toy")
        found = plain(queries.score_values(session, subject.id, ["simulation"]))
        assert [found[condition]["original"] for condition in sorted(found, key=lambda one: one.explainer)] == [
            {neurons[0].id: 0.125},
            {neurons[0].id: 0.5},
        ]


def test_tokens_are_those_of_prompt_and_completion_where_both_were_counted(database: Database) -> None:
    with database.writing() as session:
        subject, other = make_subject(session), make_subject(session, "other")
        (neuron,) = make_neurons(session, subject, 1)
        for sample_number, counts in enumerate([(100, 10), (101, 10), (None, 10), (100, None)]):
            made = make_explanation(session, neuron, "hs", sample_number=sample_number)
            made.n_prompt_tokens, made.n_completion_tokens = counts
        foreign = make_explanation(session, make_neurons(session, other, 1)[0], "hs")
        foreign.n_prompt_tokens = foreign.n_completion_tokens = 1
        session.flush()
        found = plain(queries.length_values(session, subject.id))
        assert found == {Condition("", "", "local:toy", "default@0123456789ab"): {"hs": {neuron.id: 110.5}}}


def test_sets_are_the_subject_s_own(database: Database) -> None:
    with database.writing() as session:
        subject, other = make_subject(session), make_subject(session, "other")
        neurons = make_neurons(session, subject, 3)
        make_set(session, subject, "top", neurons[:2])
        make_set(session, subject, "random", neurons[2:])
        make_set(session, other, "foreign", [])
        found = queries.neurons_compared(session, subject.id, None)
        assert [one.name for one in found] == ["All neurons", "random", "top"]
        assert found[0].ids is None
        assert sorted(found[2].ids.tolist()) == [neuron.id for neuron in neurons[:2]]
        assert [one.name for one in queries.neurons_compared(session, subject.id, "top")] == ["top"]
        assert queries.neuron_set_names(session, subject.id) == ["random", "top"]
        with pytest.raises(UnknownName, match=r"no neuron set 'foreign' .* there are: random, top"):
            queries.neurons_compared(session, subject.id, "foreign")


def test_puzzles_are_no_subject_model_to_guess(database: Database) -> None:
    with database.writing() as session:
        with pytest.raises(InvalidInput, match="there is none yet"):
            queries.chosen_subject(session, None)
        make_puzzles(session)
        make_subject(session, "toy")
        make_subject(session, "half", recording_status="writing")
        assert queries.readable_subjects(session) == [("toy", False), ("puzzles", True)]
        assert queries.chosen_subject(session, None).name == "toy"
        assert queries.chosen_subject(session, "puzzles").name == "puzzles"
        make_subject(session, "second")
        with pytest.raises(InvalidInput, match="say which subject model: one of second, toy"):
            queries.chosen_subject(session, None)
        with pytest.raises(UnknownName):
            queries.chosen_subject(session, "half")


def test_a_neuron_s_score_is_that_of_its_reference_where_references_are_scored(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 4)
        make_scored(session, neurons, {"original": [0.2, 0.4, None, 0.3], "summary": [0.3, 0.1, None, 0.3]})
        found = queries.scored_neurons(session, subject, None)
        assert (found.name, found.scores.tolist()) == ("Top 3 by score", [0.4, 0.3, 0.3])
        assert found.layers.tolist() == [neurons[1].layer, neurons[0].layer, neurons[3].layer]
        make_scored(session, neurons[:1], {"reference": [0.125]}, scorer="imported")
        by_reference = queries.scored_neurons(session, subject, None)
        assert (by_reference.scores.tolist(), by_reference.score) == ([0.125], "simulation by imported, of references")


def test_what_has_no_value_is_counted_by_set_scorer_and_method(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 3)
        make_scored(session, neurons, {"original": [None, None, 0.5], "hs": [0.5, None, 0.5]})
        make_scored(session, neurons, {"hs": [0.5, 0.5, None]}, scorer="other")
        failed = make_score(session, make_explanation(session, neurons[0], "avhs", EXPLAINER), "simulation", None)
        failed.status, failed.reason, failed.failure = FAILED, None, "refusal"
        make_set(session, subject, "first", neurons[:1])
        make_set(session, subject, "last", neurons[2:])
        sets = queries.neurons_compared(session, subject.id, None)
        found = queries.notes_without_value(session, subject.id, ["simulation"], sets)
        pack = f"{EXPLAINER} · default@0123456789ab"
        assert found == [
            f"All neurons · imported · {pack}: 1 failed score left out (AVHS 1).",
            f"All neurons · {SCORER} · {pack}: 3 undefined scores left out (Original 2, HS 1).",
            f"All neurons · other · {pack}: 1 undefined score left out (HS 1).",
            f"first · imported · {pack}: 1 failed score left out (AVHS 1).",
            f"first · {SCORER} · {pack}: 1 undefined score left out (Original 1).",
            f"last · other · {pack}: 1 undefined score left out (HS 1).",
        ]


def test_figure3_is_by_one_scorer(database: Database) -> None:
    """A maximum over scorers is on no scale."""
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 3)
        make_scored(session, neurons, {"hs": [0.1, 0.2, 0.3]}, scorer="most")
        make_scored(session, neurons[:2], {"hs": [0.9, 0.9]}, scorer="fewer")
        make_scored(session, neurons, {"false": [0.9, 0.9, 0.9]}, scorer="imported")
        found = queries.scored_neurons(session, subject, None)
        assert (found.scores.tolist(), found.other_scorers) == ([0.3, 0.2, 0.1], ("fewer",))
        assert found.score == "simulation by most, the best of a neuron's explanations"
        assert figure3_tables("toy", 2, found, "", "")[0].notes == ["Not shown: scores by fewer."]
        make_scored(session, neurons[:1], {"hs": [0.5]}, scorer="imported")
        assert queries.scored_neurons(session, subject, None).scores.tolist() == [0.5]


def test_figure3_of_a_set_counts_its_members_without_a_score(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 4)
        make_scored(session, neurons, {"original": [0.2, 0.4, None, 0.3]})
        make_set(session, subject, "few", neurons[:3])
        (few,) = queries.neurons_compared(session, subject.id, "few")
        found = queries.scored_neurons(session, subject, few)
        assert (found.name, sorted(found.scores.tolist()), found.n_without) == ("few", [0.2, 0.4], 1)


def test_only_the_best_are_in_figure3(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_scored(session, make_neurons(session, subject, 3), {"hs": [0.2, 0.4, 0.3]})
        assert queries.scored_neurons(session, subject, None, n_top=2).scores.tolist() == [0.4, 0.3]


def test_no_row_of_another_subject_is_read(empty_sqlite_file: Path, tmp_path: Path) -> None:
    """SQLite's plans say so: every table is searched by an index, from the subject's neurons on."""
    shutil.copy(empty_sqlite_file, tmp_path / "study.sqlite")
    database = Database(f"sqlite:///{tmp_path / 'study.sqlite'}")
    seen: list[tuple[str, object]] = []
    with database.reading() as session:
        connection = session.connection()

        @sa.event.listens_for(connection, "before_cursor_execute")
        def note(_c: object, _cursor: object, statement: str, parameters: object, _x: object, _many: bool) -> None:
            seen.append((statement, parameters))

        queries.score_values(session, 1, ["simulation"])
        queries.length_values(session, 1)
        queries.notes_without_value(session, 1, ["simulation"], [Neurons("All neurons", None)])
        queries.scored_neurons(session, SubjectModel(id=1), None)
        asked = list(seen)
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan]
            assert [step for step in steps if step.startswith("SCAN") and "subquery" not in step.lower()] == [], steps
            assert any("subject_id=?" in step for step in steps), steps
    database.dispose()
    assert len(asked) == 6


def test_a_score_without_its_explanation_s_text_is_none(database: Database) -> None:
    """An explanation that failed later keeps no score in the means."""
    with database.writing() as session:
        subject = make_subject(session)
        (neuron,) = make_neurons(session, subject, 1)
        failed = make_explanation(session, neuron, "hs", status=FAILED)
        make_score(session, failed, "simulation", 0.5)
        assert queries.score_values(session, subject.id, ["simulation"]) == {}
