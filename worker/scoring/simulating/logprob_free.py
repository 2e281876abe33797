"""The simulator that has a chat model repeat every token with a number. It needs no token probabilities, so every
server will do. Knows no true activation and no database.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from app.explanations import failures
from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from worker.batches.making import Float32Array
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.calls import PaidModel, Questions, Spent
from worker.scoring.simulating.examples import TASK, ExampleNeuron, example_neurons
from worker.scoring.simulating.quoting import Unfaithful, numbered_lines, valued_lines, values_of_copy
from worker.scoring.simulating.simulation import LARGEST, Excerpt, Simulation

REPEAT = (
    " You see a description and a text, one token on each line, numbered and written as a JSON string. Repeat every "
    "line, from the first to the last, exactly as it is, and write behind it a blank and the token's number, an "
    "integer from 0 to {largest}. Write nothing else."
)
N_EXCERPTS_SHOWN = 1
ROOM = 1.5
"""How many times as long as the expected answer an answer may be: others escape tokens at greater length."""


class LogprobFree:
    """Simulates with one chat model, a call for every excerpt."""

    def __init__(
        self,
        chat: PaidModel,
        few_shots: Sequence[FewShotNeuron],
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ):
        self._chat = chat
        self._beginning = _beginning(few_shots)
        self._temperature, self._top_p, self._seed = temperature, top_p, seed
        self._questions = Questions(chat.n_in_flight)

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        """An answer that repeats other tokens, or not all of them, makes the whole simulation fail: never zeros.

        attempt: how often an excerpt may be asked for again, when all answers before were unfaithful; faithful ones
        are used again. Errors: CallFailed, BatchStopped, BudgetReached.
        """
        copies = await self._questions.all_answers(
            [partial(self._copy, text, excerpt, attempt) for excerpt in excerpts]
        )
        return Simulation(
            expected=tuple(values for values, _ in copies),
            spent=sum((spent for _, spent in copies), Spent()),
            details={"scale": f"0-{LARGEST}"},
        )

    async def _copy(self, text: str, excerpt: Excerpt, n_attempts_before: int) -> tuple[Float32Array, Spent]:
        spent = Spent()
        for attempt in range(n_attempts_before):
            paid = await self._ask(text, excerpt, attempt)
            spent += Spent.of(paid)
            # What an earlier attempt was answered is kept, and costs nothing to read again.
            with suppress(CallFailed):
                return _values(paid.completion, excerpt), spent
        paid = await self._ask(text, excerpt, n_attempts_before)
        return _values(paid.completion, excerpt), spent + Spent.of(paid)

    async def _ask(self, text: str, excerpt: Excerpt, attempt: int) -> PaidCompletion:
        longest = ChatMessage("assistant", "\n".join(valued_lines(excerpt, [LARGEST] * len(excerpt))))
        return await self._chat.complete(
            (*self._beginning, _question(text, excerpt)),
            sample=0,
            attempt=attempt,
            temperature=self._temperature,
            top_p=self._top_p,
            max_tokens=int(ROOM * self._chat.count_tokens([longest])),
            seed=self._seed,
        )


def _beginning(few_shots: Sequence[FewShotNeuron]) -> tuple[ChatMessage, ...]:
    system = ChatMessage("system", (TASK + REPEAT).format(largest=LARGEST))
    neurons = example_neurons(few_shots, n_excerpts=N_EXCERPTS_SHOWN)
    return (system, *(message for neuron in neurons for message in _example_messages(neuron)))


def _example_messages(neuron: ExampleNeuron) -> list[ChatMessage]:
    return [
        message
        for excerpt in neuron.excerpts
        for message in (
            _question(neuron.explanation, excerpt.tokens),
            ChatMessage("assistant", "\n".join(valued_lines(excerpt.tokens, excerpt.levels))),
        )
    ]


def _question(text: str, excerpt: Excerpt) -> ChatMessage:
    return ChatMessage("user", "\n".join([f"Description: {text}", *numbered_lines(excerpt)]))


def _values(completion: Completion, excerpt: Excerpt) -> Float32Array:
    if completion.refusal or completion.finish_reason == "content_filter":
        raise CallFailed(failures.REFUSAL, completion.refusal or "withheld by the content filter")
    try:
        return np.array(values_of_copy(completion.text, excerpt), dtype=np.float32)
    except Unfaithful as error:
        was_cut_off = " and was cut off" if completion.finish_reason == "length" else ""
        raise CallFailed(failures.UNFAITHFUL, f"the answer does not repeat the tokens{was_cut_off}: {error}") from None
