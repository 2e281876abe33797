"""What detection and fuzzing ask: does a description fit this excerpt, are these the tokens that it speaks of? Knows
excerpts and wording, no model and no database.

One question is one chat. Asked several at once a model would balance its answers, and one that cannot be read would
spoil the rest; asked by itself, a question's answer depends on nothing else, is kept by itself when the score is asked
for again, and an excerpt can be shown with its right and its wrong tokens marked without giving either away.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.explanations.methods.marking import BoolArray
from app.explanations.methods.prompt import ChatMessage
from app.neurons.records import ActivationRecord

N_PER_KIND = 5
"""Excerpts of each kind at most, as many as the paper scores on."""
LEAST_PER_KIND = 2
"""With a single one the balanced accuracy could only be 0, a half or 1."""

_DETECTION = (
    "A neuron of a language model responds to certain words or passages, and someone has described which. You get the "
    "description and a piece of text that may or may not contain what it describes. Judge the text by the description "
    "alone: would a neuron like that respond anywhere in it? Answer with one word, yes or no."
)
_FUZZING = (
    "A neuron of a language model responds to certain words or passages, and someone has described which. You get the "
    "description and a piece of text in which some tokens stand in double square brackets, [[like]] this. Judge by the "
    "description alone: are the tokens in brackets the ones that a neuron like that would respond to? Answer with one "
    "word, yes or no."
)
_ANSWER = re.compile(r"\W*(yes|no)(?=$|[\s.,;:!*\"'])", re.IGNORECASE)
_NO_FURTHER_WORD = re.compile(r"\W*(?:[.,;:!\n].*)?", re.DOTALL)


@dataclass(frozen=True)
class Question:
    """text: the excerpt as it is shown. is_true: what the activations say to it."""

    text: str
    is_true: bool


Asking = Callable[[str, Question], tuple[ChatMessage, ...]]
"""An explanation and a question as a chat."""


def detection_questions(records: Sequence[ActivationRecord], cutoff: float) -> tuple[Question, ...]:
    """Excerpts with a token above the cutoff and as many without, at most five of each, in the order of the records.

    Excerpts of other neurons never fill up the silent ones: what this neuron does on them is not known.
    """
    shown = [Question(text, bool(is_marked.any())) for text, is_marked in _unmarked(records, cutoff)]
    activating = [question for question in shown if question.is_true]
    silent = [question for question in shown if not question.is_true]
    n = min(N_PER_KIND, len(activating), len(silent))
    return (*activating[:n], *silent[:n])


def fuzzing_questions(records: Sequence[ActivationRecord], cutoff: float) -> tuple[Question, ...]:
    """Each of at most five excerpts with its tokens above the cutoff marked, and with as many of its other tokens.

    The others are drawn by the excerpt's text alone, so that all explanations of a neuron get the same questions. An
    excerpt with more tokens above the cutoff than below is passed over, and so is one without any; blank tokens count
    as neither.
    """
    questions: list[Question] = []
    for record in records:
        # Blanks cannot be seen between brackets; were they marked, `[[]]` would tell the right tokens from the others.
        is_active = _above(record, cutoff) & np.array([bool(token.strip()) for token in record.tokens], dtype=np.bool_)
        others = _others(record, is_active)
        if is_active.any() and others is not None and len(questions) < 2 * N_PER_KIND:
            questions += [Question(_marked(record, is_active), True), Question(_marked(record, others), False)]
    return tuple(questions)


def is_balanced_set(questions: Sequence[Question]) -> bool:
    """Whether there is enough to judge by; the two kinds are equally many already."""
    return len(questions) >= 2 * LEAST_PER_KIND


def ask_detection(explanation: str, question: Question) -> tuple[ChatMessage, ...]:
    return _chat(_DETECTION, explanation, question, "Would it respond anywhere in this text? Answer yes or no.")


def ask_fuzzing(explanation: str, question: Question) -> tuple[ChatMessage, ...]:
    return _chat(_FUZZING, explanation, question, "Are the tokens in brackets the right ones? Answer yes or no.")


def parsed_answer(answer: str) -> bool | None:
    """True for yes, False for no, None for anything else.

    The answer has to be the word, or to begin with it as a sentence of its own: `No.`, `Yes, it names a month`. What
    goes on without a mark (`no idea`) is no answer.
    """
    found = _ANSWER.match(answer)
    if found is None or not _NO_FURTHER_WORD.fullmatch(answer[found.end() :]):
        return None
    return found[1].lower() == "yes"


def _chat(system: str, explanation: str, question: Question, last: str) -> tuple[ChatMessage, ...]:
    shown = f"Description: {explanation}\n\nText:\n{question.text}\n\n{last}"
    return ChatMessage("system", system), ChatMessage("user", shown)


def _unmarked(records: Sequence[ActivationRecord], cutoff: float) -> list[tuple[str, BoolArray]]:
    return [("".join(record.tokens), _above(record, cutoff)) for record in records]


def _above(record: ActivationRecord, cutoff: float) -> BoolArray:
    # As in app/explanations/methods/marking.py: numpy would round the cutoff to float16 before comparing.
    return np.asarray(record.activations.astype(np.float64) > cutoff)


def _others(record: ActivationRecord, is_active: BoolArray) -> BoolArray | None:
    """As many tokens as are active, among those that are not and can be seen; None when there are not so many."""
    candidates = [index for index, token in enumerate(record.tokens) if token.strip() and not is_active[index]]
    n = int(is_active.sum())
    if n > len(candidates):
        return None
    chosen = np.zeros(len(record.tokens), dtype=np.bool_)
    chosen[random.Random("".join(record.tokens)).sample(candidates, n)] = True
    return chosen


def _marked(record: ActivationRecord, is_marked: BoolArray) -> str:
    return "".join(
        _in_brackets(token) if is_one else token for token, is_one in zip(record.tokens, is_marked, strict=True)
    )


def _in_brackets(token: str) -> str:
    """The token's leading blanks stay outside, where a reader expects them."""
    bare = token.lstrip()
    return f"{token[: len(token) - len(bare)]}[[{bare}]]"
