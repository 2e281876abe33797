"""A paid chat model that answers from a script, few-shot neurons of a few tokens, and evidence made of them."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from app.explanations.methods.prompt import ChatMessage, FewShotNeuron
from tests.explanations.fakes import record
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.paid_chat import PaidCompletion
from worker.scoring.scored import Evidence, ScoredExcerpt

FEW_SHOTS = (
    FewShotNeuron((record("A| cat|!", 0, 4, 1), record("No| dog", -1, 0.5)), "cats"),
    FewShotNeuron((record("one| two|\n", 0, 3, 1.5), record("3| or| 4| x", 3, 0, 2, 0)), "amounts"),
    FewShotNeuron((record("it| un|do|es", 0, 2, 0, 0), record("re|do", 1, 0)), "the beginning of a reversal"),
)
USD_PER_CALL = 0.25

Answer = Completion | CallFailed


def likely(probabilities: Mapping[str, float], *more: Mapping[str, float], text: str = "") -> Completion:
    """An answer with token probabilities, one mapping for each generated token."""
    places = tuple({token: math.log(p) for token, p in place.items()} for place in (probabilities, *more))
    return Completion(text, 100, 1, "stop", top_logprobs=places)


def written(text: str, *, finish_reason: str = "stop", refusal: str | None = None) -> Completion:
    return Completion(text, 100, 10, finish_reason, refusal)


class ScriptedPaidChat:
    """Answers every question, which is the last message, by a function; keeps what it was asked and how."""

    def __init__(self, answer: Callable[[str], Answer], *, n_in_flight: int = 3):
        self._answer = answer
        self.n_in_flight = n_in_flight
        self.asked: list[tuple[ChatMessage, ...]] = []
        self.options: list[dict[str, object]] = []
        self.n_running = self.most_running = 0

    @property
    def questions(self) -> list[str]:
        return [messages[-1].content for messages in self.asked]

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return sum(len(message.content) for message in messages)

    async def complete(self, messages: Sequence[ChatMessage], **options: object) -> PaidCompletion:
        self.asked.append(tuple(messages))
        self.options.append(options)
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        await asyncio.sleep(0)
        self.n_running -= 1
        answer = self._answer(messages[-1].content)
        if isinstance(answer, CallFailed):
            raise answer
        return PaidCompletion(answer, USD_PER_CALL, False)


def scored(excerpt_id: int, tokens: str, *activations: float) -> ScoredExcerpt:
    return ScoredExcerpt(excerpt_id, record(tokens, *activations))


def evidence(
    top: Sequence[ScoredExcerpt], random: Sequence[ScoredExcerpt] = (), calibration: Sequence[ScoredExcerpt] = ()
) -> Evidence:
    maximum = max((float(np.max(excerpt.record.activations)) for excerpt in top), default=0.0)
    return Evidence(tuple(top), tuple(random), tuple(calibration), maximum, cutoff=1.0)
