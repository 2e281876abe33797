"""Table 6 out of both databases: whose ranks are in it, and what is left out."""

from types import SimpleNamespace

import pytest
from scipy import stats

from app.database import Database
from app.findings.formats import as_csv
from app.studies.queries import study_named
from app.studies.results.summary import study_results
from tests.factories import make_subject
from tests.findings.stored import EXPLAINER, PACK, built, make_neurons, make_puzzles, make_scored, make_set
from tests.studies.careful_raters import judge
from tests.studies.factories import EXPLAINER as EXPLAINER_OF_STUDIES
from tests.studies.factories import close, make_open_study


def test_table_6_ranks_machines_and_puzzles(database: Database) -> None:
    with database.writing() as session:
        subject, puzzles = make_subject(session), make_puzzles(session)
        of_puzzles, neurons = make_neurons(session, puzzles, 2), make_neurons(session, subject, 2)
        make_scored(session, of_puzzles, {"original": [0.5, 0.5], "summary": [0.1, 0.5]}, "adacs")
        make_scored(session, neurons, {"original": [0.25, 0.5], "summary": [0.5, 0.5]})
        make_scored(session, neurons, {"original": [0.5, 0.5], "summary": [0.5, 0.5]}, "lexical", scorer="tf-idf")
        make_scored(session, neurons, {"original": [0.5, 0.5], "summary": [0.1, 0.5]}, "of another program")
        make_scored(session, neurons, {"summary": [0.5, 0.5]}, "fuzzing")
        expected = (
            "evaluation,by,explainer,prompt_pack,n,original,summary\n"
            f"Simulation,local:toy all-at-once,{EXPLAINER},{PACK},2,2.0,1.0\n"
            f"Puzzles,local:toy all-at-once,{EXPLAINER},{PACK},2,1.0,2.0\n"
            f"Lexical,tf-idf,{EXPLAINER},{PACK},2,1.5,1.5\n"
            "Average rank,,,,,1.5,1.5\n"
        )
        assert as_csv(built(session, subject, "6")) == expected
        of_the_puzzles = as_csv(built(session, puzzles, "6")).splitlines()
        assert [line.split(",")[0] for line in of_the_puzzles] == ["evaluation", "Puzzles", "Average rank"]


def test_a_sparse_method_is_left_out_of_table_6_instead_of_the_neurons(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 4)
        make_scored(session, neurons, {"original": [0.1, 0.1, 0.1, 0.9], "summary": [0.2, 0.2, 0.2, 0.1]})
        make_scored(session, neurons[3:], {"avhs": [0.9]})
        table = built(session, subject, "6")
        assert as_csv(table).splitlines()[1] == f"Simulation,local:toy all-at-once,{EXPLAINER},{PACK},4,1.0,2.0"
        place = f"Simulation by local:toy all-at-once, {EXPLAINER}, {PACK}"
        assert table.notes == [f"{place}: AVHS left out, with less than half of the neurons of others."]
        make_scored(session, neurons[:2], {"original": [0.5, 0.5]}, "lexical", scorer="tf-idf")
        make_scored(session, neurons[2:], {"summary": [0.5, 0.5]}, "lexical", scorer="tf-idf")
        after = built(session, subject, "6")
        assert [row[0] for row in after.rows] == ["Simulation", "Average rank"]
        assert after.notes[1] == (
            f"Lexical by tf-idf, {EXPLAINER}, {PACK}: Not ranked, for no neuron has a score of every method."
        )


def test_people_rank_tokens_with_each_explainer_and_no_references(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rated = [("a", "original", 3.0), ("a", "reference", 5.0), ("none", "tokens", 1.0), ("b", "hs", 2.0)]
    rows = [SimpleNamespace(explainer=who, method=method, mean_rating=mean, n=4) for who, method, mean in rated]
    rows.append(SimpleNamespace(explainer="none", method="false", mean_rating=1.0, n=4))
    study = make_open_study(database, n_neurons=2, n_raters=1)
    monkeypatch.setattr("app.findings.evaluations.are_results_open", lambda *_: True)
    monkeypatch.setattr("app.findings.evaluations.study_results", lambda *_: SimpleNamespace(rows=rows))
    with database.reading() as session:
        table = built(session, study_named(session, study.slug).subject, "6")
    assert [column.name for column in table.columns][5:] == ["original", "hs", "tokens"]
    assert [(row[2], *row[5:]) for row in table.rows[:2]] == [("a", 1.0, None, 2.0), ("b", None, 1.0, 2.0)]


def test_puzzles_rank_only_who_explained_the_subject_model(database: Database) -> None:
    with database.writing() as session:
        subject, puzzles = make_subject(session), make_puzzles(session)
        make_scored(session, make_neurons(session, subject, 1), {"original": [0.5]})
        of_puzzles = make_neurons(session, puzzles, 1)
        for explainer in (EXPLAINER, "openai:another"):
            make_scored(session, of_puzzles, {"original": [0.5], "summary": [0.1]}, "adacs", explainer=explainer)
        assert [row[2] for row in built(session, subject, "6").rows] == [EXPLAINER, None]


def test_tokens_stand_beside_every_explainer_of_the_same_excerpts(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 2)
        for explainer in (EXPLAINER, "local:b"):
            make_scored(session, neurons, {"original": [0.25, 0.5]}, explainer=explainer)
        make_scored(session, neurons, {"tokens": [0.5, 0.75]}, explainer="none")
        make_scored(session, neurons, {"original": [0.0, 0.0]}, sample_number=1)
        assert [row[2] for row in built(session, subject, "2").rows] == ["local:b", EXPLAINER]
        differences = built(session, subject, "2-differences").rows
        assert [(row[2], *row[4:6]) for row in differences] == [
            ("local:b", "Tokens", "Original"),
            (EXPLAINER, "Tokens", "Original"),
        ]
        assert [row[5:] for row in built(session, subject, "6").rows] == [(2.0, 1.0)] * 3


def test_people_are_ranked_once_their_study_is_closed(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    judge(database, study, 1)
    with database.reading() as session:
        subject = study_named(session, study.slug).subject
        assert built(session, subject, "6").rows == [], "nothing of people under the embargo"
    close(database, study)
    with database.reading() as session:
        subject = study_named(session, study.slug).subject
        means = {row.method: row.mean_rating or 0.0 for row in study_results(session, study.slug).rows}
        assert len(set(means.values())) > 1
        human, average = built(session, subject, "6").rows
        by_rating = [float(rank) for rank in stats.rankdata([-mean for mean in means.values()])]
        assert human == ("Human", "demo", EXPLAINER_OF_STUDIES, "", 2, *by_rating)
        assert list(average[5:]) == by_rating


def test_a_set_limits_the_machine_scores_that_table_6_ranks(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 3)
        make_scored(session, neurons, {"original": [0.9, 0.1, None], "summary": [0.2, 0.2, 0.9]})
        make_set(session, subject, "one", neurons[1:2])
        assert built(session, subject, "6").rows[0][5:] == (1.0, 2.0), "the undefined neuron is compared with nothing"
        assert built(session, subject, "6", "one").rows[0][5:] == (2.0, 1.0)
