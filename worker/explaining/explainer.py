"""One prompt in, one outcome out: an explanation, or the reason why there is none. Knows no database."""

import re
import time
from dataclasses import dataclass, replace

from app.explanations import failures
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods.prompt import PromptMethod, PromptPack, ShownNeuron
from app.explanations.methods.skeleton import PromptTooLong, build_prompt_within
from app.explanations.methods.tokens import describe_by_tokens
from app.explanations.texts import as_shown, up_to_last_sentence_end
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidChat

_REFUSAL = re.compile(
    r"\W*(?:(?:but|sorry|unfortunately),? )*"
    r"(?:(?:i'm|i am) (?:very |so )?(?:sorry|unable to|not able to)|i (?:can't|cannot|can not|won't|will not)|"
    r"as an ai|as a (?:large )?language model)\b",
    re.IGNORECASE,
)
"""Only what a text begins with, in the first person: an explanation may speak of apologies and refusals."""


_ECHO = re.compile(r"</?(?:start|end)>|\t|<\||\[ \S", re.IGNORECASE)
"""What stands in prompts and in no sentence: an excerpt's marks, a bracket before a blank, a tab, a chat's marks."""


@dataclass(frozen=True)
class Outcome:
    """What came of asking for one explanation: a text, or a failure and what is known of it.

    text_received: the completion verbatim, also of a failure that has one.
    n_prompt_tokens, n_completion_tokens: None where nobody counted.
    cost_usd: of the call; 0 without one and for an answer that had been paid before, None where no price is known.
    """

    text: str | None
    failure: str | None = None
    failure_detail: str | None = None
    text_received: str | None = None
    n_prompt_tokens: int | None = None
    n_completion_tokens: int | None = None
    cost_usd: float | None = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Asking:
    """Which of several askings this is: another sample or attempt never gets the same kept answer.

    seed: makes sampling repeatable where the model can; None samples anew.
    """

    sample_number: int = 0
    attempt: int = 0
    seed: int | None = None


async def explain(
    chat: PaidChat,
    method: PromptMethod,
    pack: PromptPack,
    shown: ShownNeuron,
    settings: ExplainerSettings,
    asked: Asking,
) -> Outcome:
    """Asks a chat model to explain a neuron by one method. seconds: from building the prompt to judging the answer.

    Errors: BatchStopped, BudgetReached.
    """
    started = time.perf_counter()
    if not shown.records:
        return _failed(failures.NO_EXCERPTS, "no excerpt of this neuron is here")
    try:
        prompt = build_prompt_within(method, pack, shown, chat.count_tokens, _n_prompt_tokens_at_most(chat, settings))
        paid = await chat.complete(
            prompt,
            sample=asked.sample_number,
            attempt=asked.attempt,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=asked.seed,
        )
        outcome = replace(judged(paid.completion), cost_usd=paid.cost_usd)
    except PromptTooLong as error:
        outcome = _failed(failures.TOO_LONG, str(error))
    except CallFailed as error:
        outcome = _failed(error.failure, error.detail)
    return replace(outcome, seconds=time.perf_counter() - started)


def explain_by_tokens(shown: ShownNeuron) -> Outcome:
    """The baseline: no model is asked, no token is spent."""
    text = describe_by_tokens(shown)
    if text is None:
        return _failed(failures.NO_TOKENS, f"no token of the {len(shown.records)} excerpts is above {shown.cutoff:.4g}")
    return Outcome(as_shown(text), text_received=text, n_prompt_tokens=0, n_completion_tokens=0)


def judged(completion: Completion) -> Outcome:
    """An explanation out of a completion, or the reason why it is none.

    It has to be one line of text with a letter or a digit in it, and neither a refusal, nor the announcement of a list,
    nor a repetition of the prompt's layout. Several sentences on that line stay: to cut them would change what the
    explainer said. A completion cut off at max_tokens is kept up to its last complete sentence; without one it fails.
    """
    outcome = _judged_text(completion)
    return replace(
        outcome,
        text_received=completion.text,
        n_prompt_tokens=completion.n_prompt_tokens,
        n_completion_tokens=completion.n_completion_tokens,
    )


def _judged_text(completion: Completion) -> Outcome:
    text = completion.text.strip()
    if completion.refusal or completion.finish_reason == "content_filter":
        return _failed(failures.REFUSAL, completion.refusal or "withheld by the content filter")
    if not any(character.isalnum() for character in text):
        return _failed(failures.EMPTY, "no letter and no digit in the completion")
    if _REFUSAL.match(text.replace("’", "'")):
        return _failed(failures.REFUSAL, "it begins as a refusal does")
    if _ECHO.search(text):
        return _failed(failures.ECHO, "it repeats marks of the prompt's layout")
    if len(text.splitlines()) > 1:
        return _failed(failures.NOT_ONE_SENTENCE, f"{len(text.splitlines())} lines; expected one")
    if text[-1] == ":" and text[-2:-1].isalnum():
        return _failed(failures.NOT_ONE_SENTENCE, "it announces something that does not follow")
    return _uncut(text, is_cut_off=completion.finish_reason == "length")


def _uncut(text: str, *, is_cut_off: bool) -> Outcome:
    complete = up_to_last_sentence_end(text) if is_cut_off else text
    if complete is None:
        return _failed(failures.NOT_ONE_SENTENCE, "cut off before its first sentence ended")
    return Outcome(as_shown(complete))


def _failed(failure: str, detail: str) -> Outcome:
    return Outcome(text=None, failure=failure, failure_detail=detail)


def _n_prompt_tokens_at_most(chat: PaidChat, settings: ExplainerSettings) -> int:
    n_context = settings.n_context if chat.n_context is None else min(settings.n_context, chat.n_context)
    return n_context - settings.max_tokens
