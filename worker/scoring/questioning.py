"""Detection and fuzzing: a chat model answers yes or no about excerpts, and is compared with the activations. Knows how
answers are counted; what is asked is in app/explanations/scoring/questions.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.explanations import failures
from app.explanations.explainers import CallSettings
from app.explanations.scoring.questions import (
    LEAST_PER_KIND,
    Asking,
    Question,
    ask_detection,
    ask_fuzzing,
    detection_questions,
    fuzzing_questions,
    is_balanced_set,
    parsed_answer,
)
from app.neurons.records import ActivationRecord
from worker.explaining.chat import CallFailed
from worker.scoring.calls import PaidModel, Spent
from worker.scoring.scored import Evidence, Result

MOST_UNPARSABLE = 0.25
"""Share of the questions that may go without a yes or no; beyond it the score says little of the explanation."""


@dataclass(frozen=True)
class _Asked:
    """A question with its answer, None for neither yes nor no, and what the answer took."""

    question: Question
    answer: bool | None
    spent: Spent


class QuestionScorer:
    """questions_of: the questions that excerpts give at a cutoff. asking: how one is asked about an explanation."""

    def __init__(
        self,
        chat: PaidModel,
        settings: CallSettings,
        questions_of: Callable[[Sequence[ActivationRecord], float], tuple[Question, ...]],
        asking: Asking,
    ):
        self._chat = chat
        self._settings = settings
        self._questions_of = questions_of
        self._asking = asking

    async def score(self, text: str, evidence: Evidence, *, attempt: int) -> Result:
        """The balanced accuracy of the answers, in [0, 1]: a half is chance.

        The scoring split comes first; where it lacks excerpts of a kind the calibration split fills up, which these
        metrics need for nothing else. Errors: CallFailed, also when too many answers are neither yes nor no;
        BatchStopped; BudgetReached.
        """
        excerpts = (*evidence.top, *evidence.random, *evidence.calibration)
        questions = self._questions_of([excerpt.record for excerpt in excerpts], evidence.cutoff)
        if not is_balanced_set(questions):
            return Result(None, _reason(questions), {"n": len(questions)}, (), 0, 0, 0.0)
        asked = [await self._ask(text, question, attempt) for question in questions]
        value = _balanced_accuracy(asked)
        spent = sum((one.spent for one in asked), Spent())
        return Result(
            value, None, _details(asked), (), spent.n_prompt_tokens, spent.n_completion_tokens, spent.cost_usd
        )

    async def _ask(self, text: str, question: Question, attempt: int) -> _Asked:
        """Answers of earlier attempts are kept, and count where they could be read: only the rest is asked anew."""
        spent = Spent()
        for each in range(attempt + 1):
            paid = await self._chat.complete(
                self._asking(text, question),
                sample=0,
                attempt=each,
                temperature=self._settings.temperature,
                top_p=self._settings.top_p,
                max_tokens=self._settings.max_tokens,
                seed=self._settings.seed,
            )
            spent += Spent.of(paid)
            answer = parsed_answer(paid.completion.text)
            if answer is not None:
                return _Asked(question, answer, spent)
        return _Asked(question, None, spent)


def detection_scorer(chat: PaidModel, settings: CallSettings) -> QuestionScorer:
    return QuestionScorer(chat, settings, detection_questions, ask_detection)


def fuzzing_scorer(chat: PaidModel, settings: CallSettings) -> QuestionScorer:
    return QuestionScorer(chat, settings, fuzzing_questions, ask_fuzzing)


def _balanced_accuracy(asked: Sequence[_Asked]) -> float:
    """The mean of the share of yes among true questions and of no among false ones. Errors: CallFailed."""
    n_unparsable = sum(one.answer is None for one in asked)
    shares = [_share_right(asked, is_true) for is_true in (True, False)]
    if n_unparsable > MOST_UNPARSABLE * len(asked) or None in shares:
        raise CallFailed(
            failures.UNPARSABLE,
            f"{n_unparsable} of {len(asked)} answers are neither yes nor no; expected at most "
            f"{int(MOST_UNPARSABLE * len(asked))}",
        )
    return sum(share for share in shares if share is not None) / len(shares)


def _share_right(asked: Sequence[_Asked], is_true: bool) -> float | None:
    right = [one.answer == is_true for one in asked if one.question.is_true == is_true and one.answer is not None]
    return sum(right) / len(right) if right else None


def _details(asked: Sequence[_Asked]) -> dict[str, Any]:
    said_yes = [one.question.is_true for one in asked if one.answer is True]
    said_no = [one.question.is_true for one in asked if one.answer is False]
    return {
        "n": len(asked),
        "n_true_positives": sum(said_yes),
        "n_false_positives": len(said_yes) - sum(said_yes),
        "n_true_negatives": len(said_no) - sum(said_no),
        "n_false_negatives": sum(said_no),
        "n_unparsable": sum(one.answer is None for one in asked),
    }


def _reason(questions: Sequence[Question]) -> str:
    return (
        f"no balanced set of questions: {sum(question.is_true for question in questions)} of each kind can be made of "
        f"the excerpts that the explainer did not see; expected at least {LEAST_PER_KIND}"
    )
