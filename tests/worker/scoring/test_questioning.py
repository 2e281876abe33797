"""Detection and fuzzing with a chat model that answers from a script."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from app.explanations import failures
from app.explanations.explainers import CallSettings
from app.explanations.methods.prompt import ChatMessage
from tests.explanations.fakes import completion, record
from worker.explaining.chat import CallFailed
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.questioning import QuestionScorer, detection_scorer, fuzzing_scorer
from worker.scoring.scored import Evidence, Result, ScoredExcerpt

CUTOFF = 2.0
SETTINGS = CallSettings(temperature=0)
Answer = Callable[[str], str]


class PaidScript:
    """Answers by the question's text; an answer that was given before costs nothing."""

    n_in_flight = 1

    def __init__(self, answer: Answer):
        self._answer = answer
        self._paid: dict[tuple[Sequence[ChatMessage], int], str] = {}
        self.asked: list[tuple[str, int]] = []

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return 0

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        sample: int,
        attempt: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int | None,
        n_top_logprobs: int | None = None,
    ) -> PaidCompletion:
        is_new = (messages, attempt) not in self._paid
        if is_new:
            self._paid[messages, attempt] = self._answer(messages[-1].content)
            self.asked.append((messages[-1].content, attempt))
        return PaidCompletion(completion(self._paid[messages, attempt]), 0.5 if is_new else 0.0, not is_new)


def excerpts(name: str, n: int, strength: float, first_id: int) -> tuple[ScoredExcerpt, ...]:
    return tuple(
        ScoredExcerpt(first_id + number, record(f"A| {name}{number}| sat| on| it", 0, strength, 0, 1, 0))
        for number in range(n)
    )


def evidence(n_top: int = 3, n_random: int = 2, n_top_more: int = 1, n_random_more: int = 2) -> Evidence:
    return Evidence(
        top=excerpts("cat", n_top, 5, 0),
        random=excerpts("dog", n_random, 1, 10),
        calibration=excerpts("lynx", n_top_more, 4, 20) + excerpts("pug", n_random_more, 0, 30),
        maximum=5.0,
        cutoff=CUTOFF,
    )


def scored(scorer: QuestionScorer, on: Evidence, attempt: int = 0) -> Result:
    return asyncio.run(scorer.score("Words for cats.", on, attempt=attempt))


def knows_cats(question: str) -> str:
    return "Yes." if "cat0" in question or "cat1" in question or "dog0" in question else "no"


def test_detection_is_the_mean_of_both_shares_of_right_answers() -> None:
    chat = PaidScript(knows_cats)
    result = scored(detection_scorer(chat, SETTINGS), evidence())
    # Of cat0, cat1, cat2 and lynx0 two are told; of dog0, dog1, pug0 and pug1 three are left alone.
    assert result.value == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert result.details == {
        "n": 8,
        "n_true_positives": 2,
        "n_false_positives": 1,
        "n_true_negatives": 3,
        "n_false_negatives": 2,
        "n_unparsable": 0,
    }
    assert (result.n_prompt_tokens, result.n_completion_tokens, result.cost_usd) == (800, 80, 4.0)


def test_the_scoring_split_comes_before_what_fills_it_up() -> None:
    chat = PaidScript(knows_cats)
    scored(detection_scorer(chat, SETTINGS), evidence(5, 5, 5, 5))
    assert len(chat.asked) == 10
    assert not any("lynx" in question or "pug" in question for question, _ in chat.asked)


def test_fuzzing_tells_the_right_marks_from_wrong_ones() -> None:
    perfect = PaidScript(lambda question: "yes" if "[[cat" in question or "[[lynx" in question else "no")
    assert scored(fuzzing_scorer(perfect, SETTINGS), evidence()).value == 1.0
    credulous = PaidScript(lambda question: "yes")
    result = scored(fuzzing_scorer(credulous, SETTINGS), evidence())
    assert result.value == 0.5
    assert (result.details["n"], result.details["n_false_positives"]) == (8, 4)


@pytest.mark.parametrize("scorer_for", [detection_scorer, fuzzing_scorer])
def test_without_a_balanced_set_nothing_is_asked_and_the_reason_is_told(
    scorer_for: Callable[[PaidScript, CallSettings], QuestionScorer],
) -> None:
    chat = PaidScript(lambda question: "yes")
    result = scored(scorer_for(chat, SETTINGS), evidence(1, 3, 0, 0))
    assert result.value is None
    assert (result.reason or "").startswith("no balanced set of questions: 1 of each kind can be made")
    assert chat.asked == []
    assert result.cost_usd == 0.0


def test_an_answer_that_cannot_be_read_costs_its_question_only() -> None:
    chat = PaidScript(lambda question: "perhaps" if "cat0" in question else knows_cats(question))
    result = scored(detection_scorer(chat, SETTINGS), evidence())
    assert result.value == pytest.approx((1 / 3 + 3 / 4) / 2)
    assert (result.details["n"], result.details["n_unparsable"]) == (8, 1)


def test_too_many_answers_that_cannot_be_read_fail_the_score() -> None:
    chat = PaidScript(lambda question: "perhaps" if "dog" in question or "cat0" in question else "no")
    with pytest.raises(CallFailed, match="3 of 8 answers are neither yes nor no; expected at most 2") as failed:
        scored(detection_scorer(chat, SETTINGS), evidence())
    assert failed.value.failure == failures.UNPARSABLE


def test_no_readable_answer_of_one_kind_fails_the_score_however_many_there_are_of_the_other() -> None:
    chat = PaidScript(lambda question: "?" if "dog" in question else "yes")
    with pytest.raises(CallFailed):
        scored(detection_scorer(chat, SETTINGS), evidence(2, 2, 0, 0))


def test_another_attempt_asks_again_only_what_could_not_be_read() -> None:
    answers = iter(["perhaps", "yes"])
    chat = PaidScript(lambda question: next(answers) if "cat0" in question else "no")
    scorer = detection_scorer(chat, SETTINGS)
    scored(scorer, evidence(2, 2, 0, 0))
    n_asked = len(chat.asked)
    result = scored(scorer, evidence(2, 2, 0, 0), attempt=1)
    assert [attempt for _, attempt in chat.asked[n_asked:]] == [1]
    assert "cat0" in chat.asked[-1][0]
    assert result.value == pytest.approx((1 / 2 + 1) / 2)
    assert result.cost_usd == 0.5
