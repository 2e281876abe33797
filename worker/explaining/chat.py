"""What an explainer is to this program: something that completes a chat. Knows no prompt and no database."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from app.errors import NeuronJuryError, Unavailable
from app.explanations.methods.prompt import ChatMessage


class CallFailed(NeuronJuryError):
    """A completion that did not come: one of the reasons of `app.explanations.failures`, and a sentence on it."""

    def __init__(self, failure: str, detail: str):
        super().__init__(f"{failure}: {detail}")
        self.failure = failure
        self.detail = detail


class ServerRefuses(Unavailable):
    """A server that would refuse every further call, too: a wrong key, a used-up account, many failures in a row. The
    message is for people."""


still_wanted: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("still_wanted", default=None)
"""Asked before a request that had to wait: raises when the answer is not wanted any more. None: it always is."""


@dataclass(frozen=True)
class Completion:
    """What a chat model answered.

    n_prompt_tokens, n_completion_tokens: as counted by the model's server; None where it does not say.
    finish_reason: `stop`, `length` when it was cut off at max_tokens, `content_filter` when it was withheld.
    refusal: the model's own words on why it refuses, where its server keeps them apart from the text.
    top_logprobs: for each generated token the likeliest tokens' texts with their log probabilities, as many as were
    asked for; None when none were asked for or the server gives none.
    remark: a setting that the model does not take and was asked without, one sentence.
    """

    text: str
    n_prompt_tokens: int | None
    n_completion_tokens: int | None
    finish_reason: str
    refusal: str | None = None
    top_logprobs: tuple[Mapping[str, float], ...] | None = None
    remark: str | None = None


class ChatModel(Protocol):
    """A model that completes chats."""

    @property
    def n_context(self) -> int | None:
        """Prompt and completion together have at most this many tokens; None where the server alone knows."""
        ...

    @property
    def n_in_flight(self) -> int:
        """How many completions to ask for at once."""
        ...

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the whole prompt, the layout of the chat included; an estimate where the tokenizer is not here."""
        ...

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
        """n_top_logprobs: how many of the likeliest tokens to report at each place; None reports none.

        Errors: CallFailed.
        """
        ...

    async def check(self) -> None:
        """Errors: Unavailable when the model cannot answer now, said in one sentence."""
        ...

    async def close(self) -> None: ...
