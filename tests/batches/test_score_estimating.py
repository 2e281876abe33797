"""What a batch of scores would take, on both databases."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.batches.lacking_scores import ScoreOrder
from app.batches.score_estimating import estimate_scores, score_estimate_in_words
from app.batches.score_planning import plan_scores
from app.database import Database
from app.errors import InvalidInput
from app.explanations.models import DONE, Score
from app.explanations.scoring.evidence import load_evidence
from app.explanations.scoring.settings import scorer_settings
from app.explanations.token_counting import TokenCounter
from tests.factories import make_explanation, make_neuron, make_record, make_records, make_subject

WORDS = TokenCounter("words", lambda text: len(text.split()))
TODAY = date(2024, 5, 1)


def explained(session: Session, n: int = 2) -> None:
    subject = make_subject(session, n_neurons_per_layer=n)
    for index in range(n):
        neuron = make_neuron(session, subject, index=index)
        make_records(session, neuron)
        make_explanation(session, neuron, "summary", text="Words for cats.")


def order(metric: str, model: str, **settings: Any) -> ScoreOrder:
    return ScoreOrder("toy", model, scorer_settings({"metric": metric, **settings}))


def in_words(session: Session, asked: ScoreOrder) -> dict[str, str]:
    return dict(score_estimate_in_words(estimate_scores(session, asked, WORDS, TODAY)))


def test_texts_to_embed_are_counted_twice_for_the_reference_is_about_as_long(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        estimate = estimate_scores(session, order("adacs", "openai:embed"), WORDS, TODAY)
    # Two scores, two texts of three words each and four tokens of layout.
    assert (estimate.n_calls, estimate.n_prompt_tokens, estimate.n_answer_tokens) == (4, 2 * 2 * (3 + 4), 0)


def test_money_and_time_follow_from_prices_and_limits(database: Database) -> None:
    priced = {"usd_per_million_prompt_tokens": 1e5, "usd_per_million_completion_tokens": 1e6, "max_tokens": 10}
    with database.writing() as session:
        explained(session, 1)
        asked = order("fuzzing", "openai:gpt-x", requests_per_minute=5, **priced)
        estimate = estimate_scores(session, asked, WORDS, TODAY)
    assert (estimate.n_calls, estimate.n_answer_tokens) == (10, 100)
    assert estimate.usd == pytest.approx((estimate.n_prompt_tokens or 0) * 0.1 + 100)
    assert estimate.seconds_at_limit == 120


def test_what_runs_here_makes_no_calls(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        assert in_words(session, order("lexical", "none")) == {
            "Scores": "2 to make by tf-idf",
            "Calls": "none: it is computed on the worker's machine",
        }


def test_a_simulator_is_known_by_its_latest_batch_alone(database: Database) -> None:
    asked = order("simulation", "openai:gpt-x", simulator="logprob-free")
    with database.writing() as session:
        explained(session)
        assert "not known before the first batch" in in_words(session, asked)["Tokens"]
        batch = plan_scores(session, asked)
        first, second = session.query(Score).order_by(Score.id)
        first.status, first.value, first.n_prompt_tokens, first.n_completion_tokens = DONE, 0.5, 3000, 500
        second.status, second.failure = "failed", "connection"
        session.flush()
        said = in_words(session, asked)
    assert said["Scores"] == "1 to make by openai:gpt-x logprob-free; 1 more is there already"
    assert said["Prompt tokens"] == f"about 3,000, if scores take as many as in batch {batch.id}"
    assert said["Answer tokens"] == "up to about 500"
    assert said["Money"] == "no price is known for openai:gpt-x; enter one under Prices"


def test_a_budget_in_dollars_without_a_price_is_refused_here_too(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        asked = ScoreOrder("toy", "openai:gpt-x", scorer_settings({"metric": "fuzzing"}), budget_usd=1.0)
        with pytest.raises(InvalidInput, match="no price is known"):
            estimate_scores(session, asked, WORDS, TODAY)


@pytest.mark.parametrize("calibration", ["none", "linear"])
@pytest.mark.parametrize("simulator", ["one-at-a-time", "logprob-free"])
def test_calls_of_a_chat_simulator_are_the_tokens_or_excerpts_that_it_reads(
    database: Database, simulator: str, calibration: str
) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        # Excerpts of 2, 3, 4, ... tokens, each a text of its own.
        for rank in range(20):
            make_record(session, neuron, rank=rank, tokens=("a",) * (rank + 2), activations=(1.0,) * (rank + 2))
        explanation = make_explanation(session, neuron)
        evidence = load_evidence(session, explanation)
        read = [*evidence.top, *evidence.random, *(evidence.calibration if calibration == "linear" else ())]
        assert evidence.calibration
        n = len(read) if simulator == "logprob-free" else sum(len(one.record.tokens) for one in read)
        asked = order("simulation", "openai:gpt-x", simulator=simulator, calibration=calibration)
        assert in_words(session, asked)["Calls"] == f"about {n} to openai:gpt-x"


def test_what_is_read_from_within_makes_no_calls(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        assert in_words(session, order("simulation", "local:toy"))["Calls"].startswith("none: it is computed")
