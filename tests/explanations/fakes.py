"""A chat model that answers from a script, and small neurons."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from app.explanations.methods.prompt import ChatMessage
from app.neurons.records import ActivationRecord
from worker.explaining.chat import CallFailed, Completion

Answer = str | Completion | CallFailed


def record(tokens: str, *activations: float) -> ActivationRecord:
    """record("The| cat", 0, 5.0): tokens with bars between them."""
    return ActivationRecord(tuple(tokens.split("|")), np.array(activations, dtype=np.float16))


def completion(text: str, *, finish_reason: str = "stop", refusal: str | None = None) -> Completion:
    return Completion(text, n_prompt_tokens=100, n_completion_tokens=10, finish_reason=finish_reason, refusal=refusal)


class ScriptedChat:
    """Answers every chat by one function of its messages; keeps what it was asked, and with which seed."""

    def __init__(
        self,
        answer: Callable[[Sequence[ChatMessage]], Answer],
        *,
        n_context: int | None = None,
        n_in_flight: int = 1,
        seconds: float = 0.0,
    ):
        self._seconds = seconds
        self._answer = answer
        self.n_context = n_context
        self.n_in_flight = n_in_flight
        self.asked: list[tuple[ChatMessage, ...]] = []
        self.seeds: list[int | None] = []
        self.n_running = 0
        self.most_running = 0
        self.is_closed = False

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return sum(len(message.content.split()) for message in messages)

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int | None,
        n_top_logprobs: int | None = None,
    ) -> Completion:
        self.asked.append(tuple(messages))
        self.seeds.append(seed)
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        await asyncio.sleep(self._seconds)
        self.n_running -= 1
        answer = self._answer(messages)
        if isinstance(answer, CallFailed):
            raise answer
        return completion(answer) if isinstance(answer, str) else answer

    async def check(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True
