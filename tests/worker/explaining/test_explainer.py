"""From a completion to an explanation or to the reason why there is none."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.explanations import failures
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ChatMessage, ShownNeuron
from app.explanations.prompt_packs.loading import load_pack
from tests.explanations.fakes import Answer, ScriptedChat, completion, record
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.explainer import Asking, Outcome, explain, explain_by_tokens, judged
from worker.explaining.paid_chat import PaidCompletion

SHOWN = ShownNeuron((record("The| cat| sat| on| mats", 0, 5.0, 1.2, -0.3, 2.6),), cutoff=2.0)
PACK = load_pack("default")


@pytest.mark.parametrize(
    ("received", "text"),
    [
        (" words about cats.", "Words about cats."),
        ("Cats. Also dogs", "Cats. Also dogs."),
        ("words about cats\n", "Words about cats."),
        ("3", "3."),
        ("the phrase “I’m sorry” in letters", "The phrase “I’m sorry” in letters."),
        ("refusals that begin with I cannot", "Refusals that begin with I cannot."),
        ("times such as 12:", None),
        ("the sign :", "The sign :."),
        ("", None),
        (' \n"..." ', None),
        ("I'm sorry, but I can't help with that.", None),
        ("I’m sorry, I cannot say.", None),
        ("Sorry, but I can't.", None),
        ("I cannot find a pattern.", None),
        ("Unfortunately, I am unable to tell.", None),
        ("As an AI language model, I think", None),
        ("- cats\n- dogs", None),
        ("It fires on:\n\n1. cats", None),
        ("It fires on these tokens:", None),
    ],
)
def test_what_counts_as_an_explanation(received: str, text: str | None) -> None:
    outcome = judged(completion(received))
    assert outcome.text == text
    assert (outcome.failure is None) == (text is not None)
    assert outcome.text_received == received


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (completion(""), failures.EMPTY),
        (completion("?!"), failures.EMPTY),
        (completion("I cannot help with that."), failures.REFUSAL),
        (completion("", refusal="That is unsafe."), failures.REFUSAL),
        (completion("words about", finish_reason="content_filter"), failures.REFUSAL),
        (completion("the word cat<end>"), failures.ECHO),
        (completion("cat\t10 and more"), failures.ECHO),
        (completion("the end of[ a] word"), failures.ECHO),
        (completion("cats\ndogs"), failures.NOT_ONE_SENTENCE),
        (completion("words about cats and", finish_reason="length"), failures.NOT_ONE_SENTENCE),
    ],
)
def test_failures_have_their_reason_and_no_text(answer: Completion, failure: str) -> None:
    outcome = judged(answer)
    assert (outcome.text, outcome.failure) == (None, failure)
    assert outcome.failure_detail
    assert (outcome.n_prompt_tokens, outcome.n_completion_tokens) == (100, 10)


def test_a_completion_that_was_cut_off_keeps_its_complete_sentences() -> None:
    received = " words about cats. It also fires on dogs. And perhaps on"
    outcome = judged(completion(received, finish_reason="length"))
    assert outcome == Outcome(
        "Words about cats. It also fires on dogs.",
        text_received=received,
        n_prompt_tokens=100,
        n_completion_tokens=10,
    )


class ScriptedPaidChat(ScriptedChat):
    """As a PaidChat, without a batch: every call costs half a dollar. Keeps which sample and attempt were asked."""

    async def complete(self, messages: Sequence[ChatMessage], *, sample: int, attempt: int, **options: Any) -> Any:
        self.asked_as = (sample, attempt)
        return PaidCompletion(await super().complete(messages, **options), cost_usd=0.5, is_from_cache=False)


def explained(
    answer: Answer,
    settings: ExplainerSettings | None = None,
    *,
    n_context: int | None = None,
    shown: ShownNeuron = SHOWN,
) -> tuple[Outcome, ScriptedPaidChat]:
    def reply(_: Sequence[ChatMessage]) -> Answer:
        return answer

    chat: Any = ScriptedPaidChat(reply, n_context=n_context)
    asking = Asking(sample_number=1, attempt=2, seed=3)
    call = explain(chat, PROMPT_METHODS["hs"], PACK, shown, settings or ExplainerSettings(), asking)
    return asyncio.run(call), chat


def test_asks_with_the_whole_prompt_and_the_seed() -> None:
    outcome, chat = explained(" words about cats.")
    assert outcome.text == "Words about cats."
    assert outcome.seconds > 0
    assert outcome.cost_usd == 0.5
    assert (chat.seeds, chat.asked_as) == ([3], (1, 2))
    assert [message.role for message in chat.asked[0]] == ["system", *["user", "assistant"] * 3, "user"]
    assert "[ cat] sat on[ mats]" in chat.asked[0][-1].content


def test_a_prompt_that_does_not_fit_is_too_long_and_asks_nobody() -> None:
    outcome, chat = explained("cats", ExplainerSettings(n_context=256, max_tokens=60))
    assert (outcome.text, outcome.failure) == (None, failures.TOO_LONG)
    assert "expected at most 196" in (outcome.failure_detail or "")
    assert chat.asked == []


def test_a_neuron_without_excerpts_fails_and_asks_nobody() -> None:
    outcome, chat = explained("cats", shown=ShownNeuron((), cutoff=0.0))
    assert (outcome.text, outcome.failure) == (None, failures.NO_EXCERPTS)
    assert chat.asked == []


def test_a_smaller_context_of_the_model_itself_counts() -> None:
    outcome, _ = explained("cats", n_context=300)
    assert "expected at most 240" in (outcome.failure_detail or "")


def test_a_call_that_failed_is_a_failure_with_the_calls_reason() -> None:
    outcome, _ = explained(CallFailed(failures.RATE_LIMIT, "slow down"))
    assert (outcome.text, outcome.failure, outcome.failure_detail) == (None, failures.RATE_LIMIT, "slow down")
    assert (outcome.text_received, outcome.cost_usd) == (None, 0.0)


def test_an_answer_that_is_no_explanation_was_paid_all_the_same() -> None:
    outcome, _ = explained("I cannot say.")
    assert (outcome.failure, outcome.cost_usd) == (failures.REFUSAL, 0.5)


def test_the_baseline_asks_nobody() -> None:
    assert explain_by_tokens(SHOWN) == Outcome(
        'The tokens "cat" and "mats".',
        text_received='The tokens "cat" and "mats".',
        n_prompt_tokens=0,
        n_completion_tokens=0,
    )
    nothing = explain_by_tokens(ShownNeuron(SHOWN.records, cutoff=9.0))
    assert (nothing.text, nothing.failure) == (None, failures.NO_TOKENS)
    assert nothing.failure_detail == "no token of the 1 excerpts is above 9"
