"""What a batch of scores would take, on both databases."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.batches.lacking_scores import ScoreOrder
from app.batches.score_estimating import estimate_scores, score_estimate_in_words
from app.database import Database
from app.errors import InvalidInput
from app.explanations.methods.prompt import ChatMessage
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.scoring.evidence import load_evidence
from app.explanations.scoring.settings import scorer_settings
from app.explanations.token_counting import TokenCounter
from tests.factories import make_explanation, make_neuron, make_record, make_records, make_subject
from tests.worker.scoring.fakes import ScriptedPaidChat, likely
from worker.scoring.simulating.scorer import SimulatorCalls, simulation_scorer

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


def test_a_budget_in_dollars_without_a_price_is_refused_here_too(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        asked = ScoreOrder("toy", "openai:gpt-x", scorer_settings({"metric": "fuzzing"}), budget_usd=1.0)
        with pytest.raises(InvalidInput, match="no price is known"):
            estimate_scores(session, asked, WORDS, TODAY)


@pytest.mark.parametrize("calibration", ["none", "linear"])
@pytest.mark.parametrize("simulator", ["one-at-a-time", "logprob-free"])
def test_a_chat_simulator_takes_what_it_then_asks(database: Database, simulator: str, calibration: str) -> None:
    """One call for each token, or one for each excerpt; those that a calibration is fitted on, too."""
    asked = order("simulation", "openai:gpt-x", simulator=simulator, calibration=calibration)
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        # Excerpts of 2, 3, 4, ... tokens, each a text of its own.
        for rank in range(20):
            make_record(session, neuron, rank=rank, tokens=("a",) * (rank + 2), activations=(1.0,) * (rank + 2))
        explanation = make_explanation(session, neuron, text="Words for cats.")
        evidence = load_evidence(session, explanation)
        read = [*evidence.top, *evidence.random, *(evidence.calibration if calibration == "linear" else ())]
        assert evidence.calibration
        estimate = estimate_scores(session, asked, WORDS, TODAY)
    chat = AnyNumbers(lambda question: likely({"0": 1.0}, text=_with_numbers(question)))
    scorer = simulation_scorer(asked.settings, SimulatorCalls(load_pack("default").few_shots, chat=chat))
    asyncio.run(scorer.score("Words for cats.", evidence, attempt=0))
    n = len(read) if simulator == "logprob-free" else sum(len(one.record.tokens) for one in read)
    assert estimate.n_calls == len(chat.asked) == n
    assert estimate.n_prompt_tokens == sum(WORDS.n_tokens(one) for one in chat.asked)
    assert estimate.n_answer_tokens == sum(int(str(options["max_tokens"])) for options in chat.options)


class AnyNumbers(ScriptedPaidChat):
    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return WORDS.n_tokens(messages)


def _with_numbers(question: str) -> str:
    """Every line behind the description, with a number: what a faithful copy looks like."""
    return "\n".join(f"{line} 0" for line in question.split("\n")[1:])


def test_what_is_read_from_within_makes_no_calls(database: Database) -> None:
    with database.writing() as session:
        explained(session)
        assert in_words(session, order("simulation", "local:toy"))["Calls"].startswith("none: it is computed")
