"""What scorers that ask models share: whom they ask, many questions at once, and what it took. Knows no prompt."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from app.explanations.methods.prompt import ChatMessage
from worker.explaining.paid_chat import PaidCompletion

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Spent:
    """What calls took. Tokens: None where nobody counted them. cost_usd: None where a price is unknown."""

    n_prompt_tokens: int | None = 0
    n_completion_tokens: int | None = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            _sum(self.n_prompt_tokens, other.n_prompt_tokens),
            _sum(self.n_completion_tokens, other.n_completion_tokens),
            _sum(self.cost_usd, other.cost_usd),
        )

    @classmethod
    def of(cls, paid: PaidCompletion) -> "Spent":
        return cls(paid.completion.n_prompt_tokens, paid.completion.n_completion_tokens, paid.cost_usd)


class PaidModel(Protocol):
    """A chat model whose calls are paid once and within a budget; see `worker.explaining.paid_chat.PaidChat`."""

    @property
    def n_in_flight(self) -> int: ...

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int: ...

    async def complete(
        self,
        messages: Sequence[ChatMessage],
        *,
        sample: int,
        attempt: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
        seed: int | None,
        n_top_logprobs: int | None = None,
    ) -> PaidCompletion:
        """Errors: CallFailed, BatchStopped, BudgetReached."""
        ...


class Questions:
    """Asks many questions at once, at most so many at the same time. Shared by all explanations that are scored."""

    def __init__(self, n_in_flight: int):
        self._in_flight = asyncio.Semaphore(n_in_flight)

    async def all_answers(self, questions: Sequence[Callable[[], Awaitable[_Answer]]]) -> list[_Answer]:
        """The answers in the order of the questions.

        The first failure is raised as it came. Then no further question is asked, but those that have been are waited
        for: they are paid, and their answers are kept for another attempt.
        """
        failures: list[BaseException] = []
        answers: dict[int, _Answer] = {}

        async def ask(number: int) -> None:
            async with self._in_flight:
                if failures:
                    return
                try:
                    answers[number] = await questions[number]()
                except Exception as error:
                    failures.append(error)

        await asyncio.gather(*(ask(number) for number in range(len(questions))))
        if failures:
            raise failures[0]
        return [answers[number] for number in range(len(questions))]


def _sum(first: Any, second: Any) -> Any:
    return None if first is None or second is None else first + second
