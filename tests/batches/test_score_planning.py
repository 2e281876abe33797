"""Planning batches of scores, on both databases."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches import life
from app.batches.lacking_scores import ScoreOrder, wanted_scores
from app.batches.models import SCORES, Batch, ModelPrice
from app.batches.score_estimating import estimate_scores
from app.batches.score_planning import plan_scores
from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.models import FAILED, QUEUED, Explanation, Score
from app.explanations.scoring.settings import scorer_settings
from app.explanations.token_counting import counter_for
from app.neurons.models import SubjectModel
from app.neurons.sets import save_set
from tests.factories import make_explanation, make_neuron, make_record, make_score, make_subject

METHODS = ("original", "summary", "reference", "false")


def explained(
    session: Session,
    n_neurons: int = 1,
    methods: Sequence[str] = METHODS,
    *,
    has_records: bool = True,
    name: str = "toy",
) -> list[Explanation]:
    """Neurons with an explanation by each method; ids in the order of neurons, then methods."""
    subject = make_subject(session, name, n_neurons_per_layer=n_neurons)
    made = []
    for index in range(n_neurons):
        neuron = make_neuron(session, subject, index=index)
        if has_records:
            make_record(session, neuron)
        made += [make_explanation(session, neuron, method) for method in methods]
    return made


def order(metric: str = "lexical", model: str = "none", **changes: Any) -> ScoreOrder:
    settings = {"metric": metric, **changes.pop("settings", {})}
    return ScoreOrder("toy", model, scorer_settings(settings), **changes)


def rows(session: Session, batch: Batch) -> list[Score]:
    return list(session.scalars(sa.select(Score).where(Score.batch_id == batch.id).order_by(Score.shard, Score.id)))


def test_every_done_explanation_gets_a_row_references_and_false_ones_too(database: Database) -> None:
    with database.writing() as session:
        explanations = explained(session)
        neuron = explanations[0].neuron
        make_explanation(session, neuron, "hs", status=FAILED)
        make_explanation(session, neuron, "avhs", status=QUEUED)
        batch = plan_scores(session, order())
        planned = rows(session, batch)
        assert [row.explanation_id for row in planned] == [one.id for one in explanations]
        assert {(row.metric, row.scorer, row.status, row.attempt, row.shard) for row in planned} == {
            ("lexical", "tf-idf", QUEUED, 0, 0)
        }
        assert (batch.kind, batch.explainer, batch.n_explanations, batch.n_reused, batch.n_shards) == (
            SCORES,
            "none",
            4,
            0,
            1,
        )
        assert batch.methods == ["original", "summary", "false", "reference"]
        assert batch.settings["metric"] == "lexical"


def test_only_the_explanations_asked_for_are_scored(database: Database) -> None:
    with database.writing() as session:
        explanations = explained(session, n_neurons=2)
        other = make_explanation(session, explanations[0].neuron, "original", "local:other")
        subject = session.scalars(sa.select(SubjectModel)).one()
        save_set(session, subject, "one", [explanations[4].neuron_id], {"in_words": "the second"})
        explained(session, methods=["original"], name="another subject")

        def planned(**chosen: Any) -> list[int]:
            return [one.explanation_id for one in wanted_scores(session, order(**chosen)).lacking]

        first, second = explanations[0], explanations[4]
        assert planned(methods=("original",)) == [first.id, other.id, second.id]
        assert planned(methods=("original",), explainers=("local:toy",)) == [first.id, second.id]
        assert planned(methods=("original", "summary"), neuron_set="one") == [second.id, explanations[5].id]


def test_scores_lie_in_shards_of_25(database: Database) -> None:
    with database.writing() as session:
        explained(session, n_neurons=13, methods=["original", "summary"])
        batch = plan_scores(session, order())
        assert batch.n_shards == 2
        assert [row.shard for row in rows(session, batch)] == [0] * 25 + [1]


def test_what_is_there_is_reused_undefined_ones_too(database: Database) -> None:
    with database.writing() as session:
        explanations = explained(session)
        make_score(session, explanations[0], "lexical", 0.5, scorer="tf-idf")
        make_score(session, explanations[1], "lexical", None, scorer="tf-idf")
        make_score(session, explanations[2], "lexical", 0.5, scorer="another")
        make_score(session, explanations[3], "detection", 0.5, scorer="tf-idf")
        batch = plan_scores(session, order())
        assert (batch.n_explanations, batch.n_reused) == (2, 2)
        assert [row.explanation_id for row in rows(session, batch)] == [one.id for one in explanations[2:]]


def test_when_everything_is_there_the_batch_is_done_at_once(database: Database) -> None:
    with database.writing() as session:
        (explanation,) = explained(session, methods=["original"])
        make_score(session, explanation, "lexical", 0.5, scorer="tf-idf")
        batch = plan_scores(session, order())
        assert (batch.status, batch.n_explanations, batch.n_reused, batch.n_shards) == ("done", 0, 1, 0)


def test_failed_scores_are_asked_for_again_as_another_attempt(database: Database) -> None:
    with database.writing() as session:
        explained(session, methods=["original", "summary"])
        first = plan_scores(session, order("detection", "openai:gpt-x"))
        failed, done = rows(session, first)
        failed.status, failed.failure, failed.failure_detail, failed.seconds = FAILED, "connection", "lost", 3.0
        done.status, done.value = "done", 0.75
        session.flush()
        second = plan_scores(session, order("detection", "openai:gpt-x"))
        (again,) = rows(session, second)
        assert (again.id, again.status, again.attempt) == (failed.id, QUEUED, 1)
        assert (again.failure, again.failure_detail, again.seconds) == (None, None, None)
        assert (second.n_explanations, second.n_reused) == (1, 1)


@pytest.mark.parametrize("end", ["cancelled", "failed", "paused"])
def test_what_a_batch_left_queued_moves_into_the_next_one(database: Database, end: str) -> None:
    with database.writing() as session:
        explained(session, methods=["original"])
        first = plan_scores(session, order())
        assert plan_scores(session, order()).n_reused == 1
        if end == "cancelled":
            life.cancel_batch(session, first.id)
        elif end == "failed":
            life.fail_batch(session, first.id, "no key")
        else:
            life.pause_batch(session, first.id)
        second = plan_scores(session, order())
        (row,) = rows(session, second)
        assert (row.attempt, second.n_explanations) == (0, 1)
        assert rows(session, first) == []


def test_neurons_without_activations_are_left_out_of_metrics_that_read_excerpts(database: Database) -> None:
    with database.writing() as session:
        explanations = explained(session, methods=["original"], has_records=False)
        with pytest.raises(InvalidInput, match="no activations are stored of the neurons of these 1 explanations"):
            plan_scores(session, order())
        subject = session.scalars(sa.select(SubjectModel)).one()
        recorded = make_neuron(session, subject, layer=1)
        make_record(session, recorded)
        with_records = make_explanation(session, recorded, "original")
        batch = plan_scores(session, order())
        assert [row.explanation_id for row in rows(session, batch)] == [with_records.id]
        assert batch.remark == "1 explanation of neurons without stored activations: left out."
        similar = plan_scores(session, order("adacs", "minilm-l6-v2"))
        assert [row.explanation_id for row in rows(session, similar)] == [explanations[0].id, with_records.id]
        assert similar.remark is None


def test_an_adacs_that_lacked_a_reference_is_made_once_there_is_one(database: Database) -> None:
    with database.writing() as session:
        (explanation,) = explained(session, methods=["original"])
        make_score(session, explanation, "adacs", None, scorer="minilm-l6-v2", reason="no reference")
        asked = order("adacs", "minilm-l6-v2", methods=("original",))
        assert wanted_scores(session, asked).lacking == []
        make_explanation(session, explanation.neuron, "reference", "openai:gpt-4", side="negative")
        make_explanation(session, explanation.neuron, "reference", "openai:other", status=FAILED)
        assert wanted_scores(session, asked).lacking == []
        make_explanation(session, explanation.neuron, "reference", "openai:gpt-4")
        batch = plan_scores(session, asked)
        (row,) = rows(session, batch)
        assert (row.status, row.value, row.reason, row.attempt) == (QUEUED, None, None, 0)


def test_a_score_that_a_server_did_not_support_is_asked_for_again(database: Database) -> None:
    with database.writing() as session:
        unsupported, alike = explained(session, methods=["original", "summary"])
        who = "openai:gpt-x one-at-a-time"
        stored = make_score(
            session, unsupported, "simulation", None, scorer=who, reason="unsupported: no probabilities"
        )
        make_score(session, alike, "simulation", None, scorer=who, reason="the predicted activations are all alike")
        batch = plan_scores(session, order("simulation", "openai:gpt-x", settings={"simulator": "one-at-a-time"}))
        (row,) = rows(session, batch)
        assert (row.id, row.status, row.reason, row.attempt) == (stored.id, QUEUED, None, 1)


def test_references_by_several_explainers_are_never_mixed(database: Database) -> None:
    with database.writing() as session:
        (explanation,) = explained(session, methods=["original"])
        assert plan_scores(session, order("adacs", "minilm-l6-v2")).settings["reference_explainer"] is None
        make_explanation(session, explanation.neuron, "reference", "openai:gpt-4")
        only = plan_scores(session, order("adacs", "minilm-l6-v2"))
        assert only.settings["reference_explainer"] == "openai:gpt-4"
        assert {row.scorer for row in rows(session, only)} == {"minilm-l6-v2"}
        other = make_neuron(session, explanation.neuron.subject, index=1)
        make_explanation(session, other, "reference", "local:toy")
        with pytest.raises(InvalidInput, match="expected one named as the reference: local:toy, openai:gpt-4"):
            plan_scores(session, order("adacs", "minilm-l6-v2"))
        named = plan_scores(session, order("adacs", "minilm-l6-v2", settings={"reference_explainer": "local:toy"}))
        assert {row.scorer for row in rows(session, named)} == {"minilm-l6-v2 against local:toy"}
        assert plan_scores(session, order("detection", "openai:gpt-x")).settings["reference_explainer"] is None


def test_a_price_and_a_budget_go_with_the_batch(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        asked = order("detection", "openai:gpt-x", budget_usd=2.5, budget_tokens=10_000)
        with pytest.raises(InvalidInput, match="no price is known for openai:gpt-x"):
            plan_scores(session, asked)
        session.add(
            ModelPrice(
                model="openai:gpt-x",
                as_of=date(2024, 1, 1),
                usd_per_million_prompt_tokens=2.0,
                usd_per_million_completion_tokens=8.0,
                source="test",
            )
        )
        session.flush()
        batch = plan_scores(session, asked)
        assert (batch.budget_usd, batch.budget_tokens) == (2.5, 10_000)
        assert batch.settings["usd_per_million_prompt_tokens"] == 2.0
        assert batch.settings["price_as_of"] == "2024-01-01"


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"metric": "adacs", "model": "none"}, InvalidInput, "adacs cannot be measured by 'none'"),
        ({"methods": ("tokens",)}, InvalidInput, "'toy' has no done explanation of the methods tokens; expected some"),
        ({"explainers": ("local:x",), "neuron_set": "one"}, InvalidInput, "explainers local:x and the neuron set one"),
        ({"neuron_set": "two"}, UnknownName, "two"),
    ],
)
def test_a_wrong_order_is_refused_and_stores_nothing(
    database: Database, changes: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with database.writing() as session:
        explained(session)
        save_set(session, session.scalars(sa.select(SubjectModel)).one(), "one", [1], {"in_words": "one"})
    with pytest.raises(error, match=complaint), database.writing() as session:
        plan_scores(session, order(**changes))
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0
        assert session.scalar(sa.select(sa.func.count()).select_from(Score)) == 0


@pytest.mark.parametrize("bound", [{"budget_tokens": 100}, {"budget_usd": 1.0}])
@pytest.mark.parametrize(
    ("metric", "model"), [("lexical", "none"), ("adacs", "minilm-l6-v2"), ("simulation", "local:toy")]
)
def test_a_budget_that_nothing_would_be_counted_against_is_refused(
    database: Database, metric: str, model: str, bound: dict[str, Any]
) -> None:
    with database.writing() as session:
        explained(session)
        asked = order(metric, model, **bound)
        with pytest.raises(InvalidInput, match=r"computed on the worker's machine.*; expected no budget"):
            plan_scores(session, asked)
        with pytest.raises(InvalidInput, match="; expected no budget"):
            estimate_scores(session, asked, counter_for(NO_EXPLAINER), date(2026, 6, 1))
        assert session.query(Batch).count() == 0
