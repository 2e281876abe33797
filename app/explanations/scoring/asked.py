"""All that a score may ask of a chat model or a server of embeddings, without asking it: what it will take at most can
be counted beforehand. Answers can only make it less, but for tries after a failure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from app.explanations.scoring.evidence import Evidence
from app.explanations.scoring.questions import (
    ask_detection,
    ask_fuzzing,
    detection_questions,
    fuzzing_questions,
    is_balanced_set,
)
from app.explanations.scoring.settings import DETECTION, FUZZING, ONE_AT_A_TIME, ScorerSettings
from app.explanations.scoring.simulating import logprob_free, one_at_a_time
from app.explanations.scoring.simulating.examples import Excerpt


@dataclass(frozen=True)
class Asked:
    """One call. n_answer_tokens: at most."""

    chat: tuple[ChatMessage, ...]
    n_answer_tokens: int


def embedded(text: str) -> list[Asked]:
    """The texts of a similarity, as chats of one message: the explanation's, and a reference that is about as long."""
    return [Asked((ChatMessage("user", text),), 0)] * 2


def asked_about(
    text: str,
    evidence: Evidence,
    settings: ScorerSettings,
    few_shots: Sequence[FewShotNeuron],
    count_tokens: Callable[[Sequence[ChatMessage]], int],
) -> list[Asked]:
    """The calls of detection, of fuzzing, and of the two simulators that are asked as chats.

    few_shots: of the prompt pack in the settings.
    """
    if settings.metric in (DETECTION, FUZZING):
        return _questions(text, evidence, settings)
    if not evidence.top:
        return []
    excerpts = _simulated(evidence, settings)
    if settings.simulator == ONE_AT_A_TIME:
        before = one_at_a_time.words_before(few_shots)
        questions = one_at_a_time.questions(text, excerpts)
        return [Asked((*before, question), one_at_a_time.MAX_TOKENS) for question in questions]
    before = logprob_free.words_before(few_shots)
    return [
        Asked((*before, logprob_free.question(text, excerpt)), logprob_free.max_tokens(excerpt, count_tokens))
        for excerpt in excerpts
    ]


def _questions(text: str, evidence: Evidence, settings: ScorerSettings) -> list[Asked]:
    questions_of, asking = (
        (detection_questions, ask_detection) if settings.metric == DETECTION else (fuzzing_questions, ask_fuzzing)
    )
    excerpts = (*evidence.top, *evidence.random, *evidence.calibration)
    questions = questions_of([excerpt.record for excerpt in excerpts], evidence.cutoff)
    if not is_balanced_set(questions):
        return []
    return [Asked(asking(text, question), settings.max_tokens) for question in questions]


def _simulated(evidence: Evidence, settings: ScorerSettings) -> list[Excerpt]:
    """Those that a calibration is fitted on are simulated, too."""
    fitted_on = evidence.calibration if settings.calibration != "none" else ()
    return [excerpt.record.tokens for excerpt in (*evidence.top, *evidence.random, *fitted_on)]
