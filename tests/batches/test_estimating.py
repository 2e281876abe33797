"""What a batch would take: counted against every prompt built by hand, on both databases, and in words."""

from collections.abc import Sequence
from datetime import date
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.estimate_in_words import estimate_in_words
from app.batches.estimating import MOST_PROMPTS_BUILT, BatchEstimate, estimate_batch
from app.batches.launching import BatchOrder
from app.batches.models import Batch
from app.batches.planning import plan_batch
from app.batches.prices import Price, enter_price
from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ChatMessage, ShownNeuron
from app.explanations.methods.skeleton import build_prompt
from app.explanations.methods.splits import explain_records
from app.explanations.models import DONE, Explanation
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.token_counting import ESTIMATE, TokenCounter, estimated_tokens
from app.neurons.models import Neuron
from app.neurons.reading import load_records
from tests.factories import make_neuron, make_record, make_subject

WORDS = TokenCounter("words", lambda text: len(text.split()))
"""Four more for each message, as every counter adds."""
GPT = "openai:gpt-4"
TODAY = date(2026, 6, 1)


def make_neurons(session: Session, n: int) -> list[int]:
    """Neurons whose prompts differ in length."""
    subject = make_subject(session, n_neurons_per_layer=n)
    ids = []
    for index in range(n):
        neuron = make_neuron(session, subject, index=index)
        make_record(session, neuron, tokens=("a", *[" b"] * index), activations=(5.0, *[3.0] * index))
        ids.append(neuron.id)
    return ids


def order(neuron_ids: list[int], **changes: Any) -> BatchOrder:
    values: dict[str, Any] = {"methods": ["summary", "original"], "explainer": GPT, "settings": ExplainerSettings()}
    return BatchOrder("toy", neuron_ids, **(values | changes))


def estimated(session: Session, wanted: BatchOrder) -> BatchEstimate:
    return estimate_batch(session, wanted, WORDS, TODAY)


def prompt_by_hand(session: Session, neuron_id: int, method: str) -> Sequence[ChatMessage]:
    records = load_records(session, session.get_one(Neuron, neuron_id))
    shown = ShownNeuron(explain_records(records.top), records.cutoff)
    return build_prompt(PROMPT_METHODS[method], load_pack("default"), shown)


def length_by_hand(session: Session, neuron_id: int, method: str) -> int:
    return sum(4 + len(message.content.split()) for message in prompt_by_hand(session, neuron_id, method))


def test_few_prompts_are_all_counted(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 4)
        estimate = estimated(session, order(ids, methods=["summary", "original", "tokens"]))
        by_hand = sum(length_by_hand(session, one, method) for one in ids for method in ("summary", "original"))
        assert (estimate.n_to_make, estimate.n_calls, estimate.n_prompts_built) == (12, 8, 8)
        assert estimate.n_prompt_tokens == by_hand
        assert estimate.n_answer_tokens_at_most == 8 * 60
        assert (estimate.usd_at_most, estimate.earlier, estimate.seconds_at_limit) == (None, None, None)


def test_many_prompts_are_estimated_from_at_most_forty_of_them(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 60)
        estimate = estimated(session, order(ids, samples=3))
        by_hand = 3 * sum(length_by_hand(session, one, method) for one in ids for method in ("summary", "original"))
        assert (estimate.n_calls, estimate.n_prompts_built) == (360, MOST_PROMPTS_BUILT)
        assert estimate.n_prompt_tokens == pytest.approx(by_hand, rel=0.05)
        assert estimated(session, order(ids, samples=3)) == estimate


def test_nothing_is_stored(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 1)
        estimated(session, order(ids))
        for table in (Batch, Explanation):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0


def plan(session: Session, wanted: BatchOrder) -> Batch:
    return plan_batch(
        session,
        subject_name=wanted.subject_name,
        neurons=wanted.neuron_ids,
        methods=wanted.methods,
        explainer=wanted.explainer,
        settings=wanted.settings,
        samples=wanted.samples,
    )


def test_the_batch_makes_as_many_as_were_estimated(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 3)
        first = plan(session, order(ids[:1]))
        session.execute(sa.update(Explanation).values(status=DONE, text="Cats.", n_completion_tokens=20))
        estimate = estimated(session, order(ids))
        batch = plan(session, order(ids))
        assert (estimate.n_to_make, estimate.n_reused) == (batch.n_explanations, batch.n_reused) == (4, 2)
        assert estimate.earlier is not None
        assert (estimate.earlier.batch_id, estimate.earlier.mean_tokens) == (first.id, 20.0)
        assert estimated(session, order(ids, explainer="openai:other")).earlier is None


def test_money_comes_from_the_price_and_time_from_the_limits(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 2)
        enter_price(session, Price(GPT, date(2026, 5, 1), 30.0, 60.0, "a list"))
        limits = ExplainerSettings(max_tokens=10, requests_per_minute=8, tokens_per_minute=1e9)
        estimate = estimated(session, order(ids, settings=limits))
        assert estimate.usd_at_most == pytest.approx((30 * estimate.n_prompt_tokens + 60 * 4 * 10) / 1e6)
        assert estimate.seconds_at_limit == 30.0
        of_tokens = limits.model_copy(update={"tokens_per_minute": float(estimate.n_prompt_tokens)})
        assert estimated(session, order(ids, settings=of_tokens)).seconds_at_limit == 60.0
        local = estimated(session, order(ids, explainer="local:toy"))
        assert (local.usd_at_most, local.has_price) == (0.0, True)


def test_prompts_that_do_not_fit_are_counted_apart(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 1)
        estimate = estimated(session, order(ids, settings=ExplainerSettings(n_context=260, max_tokens=10)))
        assert (estimate.n_calls, estimate.n_prompts_built, estimate.n_too_long) == (2, 2, 2)
        assert estimate.n_prompt_tokens == 0


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"methods": ["rhyme"]}, UnknownName, "unknown method 'rhyme'"),
        ({"budget_usd": 5.0}, InvalidInput, "no price is known for openai:gpt-4"),
        ({"settings": ExplainerSettings(prompt_pack="fancy")}, UnknownName, "no prompt pack 'fancy'"),
    ],
)
def test_what_cannot_be_ordered_cannot_be_estimated(
    database: Database, changes: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 1)
        with pytest.raises(error, match=complaint):
            estimated(session, order(ids, **changes))


def test_a_whole_estimate_in_words(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 2)
        enter_price(session, Price(GPT, date(2026, 5, 1), 30.0, 60.0, "a list"))
        plan(session, order(ids[:1], methods=["summary"]))
        session.execute(sa.update(Explanation).values(status=DONE, text="Cats.", n_completion_tokens=20))
        settings = ExplainerSettings(requests_per_minute=6)
        wanted = order(ids, methods=["summary", "tokens"], settings=settings, budget_usd=0.001, budget_tokens=10**6)
        n = length_by_hand(session, ids[1], "summary")
        likely = f"${(n * 30 + 20 * 60) / 1e6:.3f}"
        at_most = f"${(n * 30 + 60 * 60) / 1e6:.3f}".rstrip("0")
        assert estimate_in_words(estimated(session, wanted)) == (
            ("Explanations", "3 to make, of 2 neurons; 1 more is there already"),
            ("Calls", "1 to openai:gpt-4"),
            ("Prompt tokens", f"{n}, from all prompts built and counted by words"),
            ("Answer tokens", "60 at most, 60 each; about 20 if answers are as long as in batch 1 (20 each)"),
            (
                "Money",
                f"at most {at_most}; about {likely} with such answers ($30.00 per million prompt tokens and "
                "$60.00 per million answer tokens, as of 2026-05-01)",
            ),
            ("Time", "at least 10 s at the given limit"),
            (
                "Budget",
                "$0.001 and 1,000,000 tokens: will stop the batch before its end; a call under way sets aside "
                f"{estimated(session, wanted).n_set_aside} tokens more than estimated",
            ),
        )


def test_a_budget_that_is_called_enough_has_room_for_what_every_call_reserves(database: Database) -> None:
    counter = TokenCounter(ESTIMATE, estimated_tokens)
    with database.writing() as session:
        ids = make_neurons(session, 3)
        wanted = order(ids, methods=["summary"])
        prompts = [prompt_by_hand(session, neuron_id, "summary") for neuron_id in ids]
        all_tokens = sum(counter.n_tokens(prompt) + 60 for prompt in prompts)

        def verdict(budget: int) -> str:
            asked = order(ids, methods=["summary"], budget_tokens=budget)
            return dict(estimate_in_words(estimate_batch(session, asked, counter, TODAY)))["Budget"]

        enough = all_tokens + estimate_batch(session, wanted, counter, TODAY).n_set_aside
        assert "is enough" in verdict(enough)
        assert "may stop" in verdict(enough - 1)
    for sequence in permutations(prompts):
        spent = 0
        for prompt in sequence:
            assert spent + counter.n_tokens_at_most(prompt) + 60 <= enough
            spent += counter.n_tokens(prompt) + 60


def test_what_is_unknown_is_said(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session, 2)
        lines = dict(estimate_in_words(estimated(session, order(ids, budget_tokens=10**6))))
        assert lines["Money"] == "no price is known for openai:gpt-4; enter one under Prices"
        assert lines["Time"] == "as fast as the server answers: no limit is given"
        assert lines["Budget"].startswith("1,000,000 tokens: is enough; a call ")
        assert lines["Answer tokens"] == "240 at most, 60 each"
        estimate = estimated(session, order(ids))
        # Every call sets 28 more aside for the layout of each message than it is estimated at, and room for an answer.
        assert estimate.n_set_aside > 0
        assert estimate.n_set_aside % 28 == 0
        n = estimate.n_prompt_tokens + estimate.n_set_aside
        verdicts = [
            dict(estimate_in_words(estimated(session, order(ids, budget_tokens=budget))))["Budget"].partition(": ")[2]
            for budget in (n + 59, n + 60, n + 239, n + 240)
        ]
        stops = "stop the batch before its end"
        beyond = f"; a call under way sets aside {estimate.n_set_aside} tokens more than estimated"
        assert verdicts == [f"{verdict}{beyond}" for verdict in (f"will {stops}", *[f"may {stops}"] * 2, "is enough")]
        tokens = estimate_in_words(estimated(session, order(ids, methods=["tokens"])))
        assert tokens == (("Explanations", "2 to make, of 2 neurons"), ("Calls", "none: no model is asked"))
        local = dict(estimate_in_words(estimated(session, order(ids, explainer="local:toy"))))
        assert (local["Money"], local["Time"]) == (
            "none: the model runs on this machine",
            "as fast as this machine computes",
        )
