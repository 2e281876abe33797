"""The simulator that asks a chat model about one token at a time and reads how likely each number is as its answer.
Knows no true activation, no wording and no database.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from app.explanations import failures
from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from app.explanations.scoring.simulating.examples import LARGEST, Excerpt
from app.explanations.scoring.simulating.one_at_a_time import MAX_TOKENS, questions, words_before
from worker.batches.making import Float32Array
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.calls import PaidModel, Questions, Spent
from worker.scoring.simulating.simulation import Simulation, expected_value

N_TOP_LOGPROBS = 20
"""As many as OpenAI's and vLLM's servers give."""
TEMPERATURE = 1.0
"""Some servers divide by it before they report probabilities; the model's own are those at 1."""
UNSUPPORTED = "unsupported: the server returns no token probabilities"


class OneAtATime:
    """Simulates with one chat model, a call for every token."""

    def __init__(self, chat: PaidModel, few_shots: Sequence[FewShotNeuron], seed: int | None):
        self._chat = chat
        self._words_before = words_before(few_shots)
        self._seed = seed
        self._questions = Questions(chat.n_in_flight)

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        """Nothing is predicted, for a reason, where the server gives no token probabilities, and where none of the
        likeliest answers for a token is a number.

        attempt: how often a token may be asked about again where all answers before came without probabilities. No
        other answer is worse than another, so those that came before a failure are used again.
        Errors: CallFailed, BatchStopped, BudgetReached.
        """
        asked = questions(text, excerpts)
        # The first one alone: whether the server and the model are of any use shows before the others are paid.
        answers: list[PaidCompletion] = []
        for some in (asked[:1], asked[1:]):
            try:
                answers += await self._questions.all_answers(
                    [partial(self._ask, question, attempt) for question in some]
                )
            except CallFailed as error:
                if error.failure != failures.UNSUPPORTED:
                    raise
                return Simulation(None, UNSUPPORTED, _spent(answers))
            if (reason := _why_useless(answers, len(asked))) is not None:
                return Simulation(None, reason, _spent(answers))
        values = [expected_value(_weights(answer.completion)) for answer in answers]
        return Simulation(_by_excerpt(values, excerpts), spent=_spent(answers), details={"scale": f"0-{LARGEST}"})

    async def _ask(self, question: ChatMessage, n_attempts_before: int) -> PaidCompletion:
        for attempt in range(n_attempts_before + 1):
            answer = await self._chat.complete(
                (*self._words_before, question),
                sample=0,
                attempt=attempt,
                temperature=TEMPERATURE,
                top_p=1.0,
                max_tokens=MAX_TOKENS,
                seed=self._seed,
                n_top_logprobs=N_TOP_LOGPROBS,
            )
            if answer.completion.top_logprobs is not None:
                break
        return answer


def _why_useless(answers: Sequence[PaidCompletion], n_tokens: int) -> str | None:
    for number, answer in enumerate(answers, start=1):
        if answer.completion.top_logprobs is None:
            return UNSUPPORTED
        if not sum(_weights(answer.completion)):
            return f"none of the likeliest answers is a number for token {number} of {n_tokens}"
    return None


def _weights(completion: Completion) -> list[float]:
    """The probability of each number from 0 to 10 as the answer; 0 for numbers that are not among the likeliest."""
    places = completion.top_logprobs or ({},)
    first = places[0] if places else {}
    weights = [_probability(first, str(value)) for value in range(LARGEST + 1)]
    # A tokenizer without a token for 10 writes it as 1 and 0; then the 1 at the first place stands for both, and the
    # second place says how much of it. That place is known only if the model did go on behind a 1.
    if not weights[LARGEST] and len(places) > 1 and completion.text.lstrip().startswith("1"):
        share = min(1.0, sum(math.exp(logprob) for token, logprob in places[1].items() if token == "0"))
        weights[LARGEST] = weights[1] * share
        weights[1] -= weights[LARGEST]
    return weights


def _probability(logprobs: Mapping[str, float], number: str) -> float:
    """Of a number with or without blanks around it."""
    return sum(math.exp(logprob) for token, logprob in logprobs.items() if token.strip() == number)


def _by_excerpt(values: Sequence[float], excerpts: Sequence[Excerpt]) -> tuple[Float32Array, ...]:
    remaining = iter(values)
    return tuple(np.array([next(remaining) for _ in excerpt], dtype=np.float32) for excerpt in excerpts)


def _spent(answers: Sequence[PaidCompletion]) -> Spent:
    return sum((Spent.of(answer) for answer in answers), Spent())
