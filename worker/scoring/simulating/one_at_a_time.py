"""The simulator that asks a chat model about one token at a time and reads how likely each number is as its answer.
Knows no true activation and no database.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from app.explanations import failures
from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from worker.batches.making import Float32Array
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.calls import PaidModel, Questions, Spent
from worker.scoring.simulating.examples import TASK, ExampleNeuron, example_neurons
from worker.scoring.simulating.quoting import quoted
from worker.scoring.simulating.simulation import LARGEST, Excerpt, Simulation, expected_value

N_TOP_LOGPROBS = 20
"""As many as OpenAI's and vLLM's servers give."""
MAX_TOKENS = 2
"""A number; two tokens of it where a tokenizer has none for `10`."""
TEMPERATURE = 1.0
"""Some servers divide by it before they report probabilities; the model's own are those at 1."""
UNSUPPORTED = "unsupported: the server returns no token probabilities"
ONE_TOKEN = (
    " You see a description, a text up to one of its tokens, and that last token again. Answer with the token's "
    "number alone, an integer from 0 to {largest}."
)
N_EXCERPTS_SHOWN = 3


class OneAtATime:
    """Simulates with one chat model, a call for every token."""

    def __init__(self, chat: PaidModel, few_shots: Sequence[FewShotNeuron], seed: int | None):
        self._chat = chat
        self._beginning = _beginning(few_shots)
        self._seed = seed
        self._questions = Questions(chat.n_in_flight)

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        """Nothing is predicted, for a reason, where the server gives no token probabilities, and where none of the
        likeliest answers for a token is a number.

        attempt: how often a token may be asked about again where all answers before came without probabilities. No
        other answer is worse than another, so those that came before a failure are used again.
        Errors: CallFailed, BatchStopped, BudgetReached.
        """
        beginnings = [excerpt[: place + 1] for excerpt in excerpts for place in range(len(excerpt))]
        # The first one alone: whether the server and the model are of any use shows before the others are paid.
        answers: list[PaidCompletion] = []
        for some in (beginnings[:1], beginnings[1:]):
            try:
                answers += await self._questions.all_answers(
                    [partial(self._ask, text, shown, attempt) for shown in some]
                )
            except CallFailed as error:
                if error.failure != failures.UNSUPPORTED:
                    raise
                return Simulation(None, UNSUPPORTED, _spent(answers))
            if (reason := _why_useless(answers, len(beginnings))) is not None:
                return Simulation(None, reason, _spent(answers))
        values = [expected_value(_weights(answer.completion)) for answer in answers]
        return Simulation(_by_excerpt(values, excerpts), spent=_spent(answers), details={"scale": f"0-{LARGEST}"})

    async def _ask(self, text: str, shown: Excerpt, n_attempts_before: int) -> PaidCompletion:
        for attempt in range(n_attempts_before + 1):
            answer = await self._chat.complete(
                (*self._beginning, _question(text, shown)),
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


def _beginning(few_shots: Sequence[FewShotNeuron]) -> tuple[ChatMessage, ...]:
    """What comes before every question: the task, and of each few-shot neuron a token of each of three excerpts."""
    system = ChatMessage("system", (TASK + ONE_TOKEN).format(largest=LARGEST))
    neurons = example_neurons(few_shots, n_excerpts=N_EXCERPTS_SHOWN)
    return (system, *(message for neuron in neurons for message in _example_messages(neuron)))


def _example_messages(neuron: ExampleNeuron) -> list[ChatMessage]:
    messages: list[ChatMessage] = []
    for index, excerpt in enumerate(neuron.excerpts):
        # One token that fits, one from the middle and one from the end, most of which do not.
        peak = excerpt.levels.index(max(excerpt.levels))
        place = (peak, len(excerpt.tokens) // 2, len(excerpt.tokens) - 1)[index]
        messages.append(_question(neuron.explanation, excerpt.tokens[: place + 1]))
        messages.append(ChatMessage("assistant", str(excerpt.levels[place])))
    return messages


def _question(text: str, beginning: Excerpt) -> ChatMessage:
    """About the last token of an excerpt's beginning; the model sees nothing of what comes after it."""
    shown = f"Description: {text}\nText: {quoted(''.join(beginning))}\nToken: {quoted(beginning[-1])}"
    return ChatMessage("user", shown)


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
