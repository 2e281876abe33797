"""The simulator that has a chat model repeat every token with a number. It needs no token probabilities, so every
server will do. Knows no true activation, no wording and no database.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from app.explanations import failures
from app.explanations.methods.prompt import FewShotNeuron
from app.explanations.scoring.simulating.examples import LARGEST, Excerpt
from app.explanations.scoring.simulating.logprob_free import max_tokens, question, words_before
from app.explanations.scoring.simulating.quoting import Unfaithful, values_of_copy
from worker.batches.making import Float32Array
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.calls import PaidModel, Questions, Spent
from worker.scoring.simulating.simulation import Simulation


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
        self._words_before = words_before(few_shots)
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
        return await self._chat.complete(
            (*self._words_before, question(text, excerpt)),
            sample=0,
            attempt=attempt,
            temperature=self._temperature,
            top_p=self._top_p,
            max_tokens=max_tokens(excerpt, self._chat.count_tokens),
            seed=self._seed,
        )


def _values(completion: Completion, excerpt: Excerpt) -> Float32Array:
    if completion.refusal or completion.finish_reason == "content_filter":
        raise CallFailed(failures.REFUSAL, completion.refusal or "withheld by the content filter")
    try:
        return np.array(values_of_copy(completion.text, excerpt), dtype=np.float32)
    except Unfaithful as error:
        was_cut_off = " and was cut off" if completion.finish_reason == "length" else ""
        raise CallFailed(failures.UNFAITHFUL, f"the answer does not repeat the tokens{was_cut_off}: {error}") from None
