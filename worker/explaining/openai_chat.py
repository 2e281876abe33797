"""Chat completions from a server that speaks OpenAI's format. The key comes from the environment and stays here."""

import os
import re
from collections.abc import Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from app.errors import ExplainerUnreachable, Unavailable
from app.explanations import failures
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods.prompt import ChatMessage
from worker.explaining.chat import CallFailed, Completion

NO_KEY = "no-key"
"""Sent to servers that ask for none; the client insists on some text."""
TOKENS_PER_MESSAGE = 4
MAX_CHECK_SECONDS = 15.0
MAX_DETAIL_LENGTH = 500
_TOKEN_SIZED = re.compile(r"[ ]?[^\W\d_]{1,7}|\d{1,3}|\s|[ ]?[^\w\s]|_")


class OpenAIChat:
    """One model of one server. Retries lost connections and rate limits itself, as long as Retry-After says."""

    def __init__(self, model: str, settings: ExplainerSettings):
        """Errors: Unavailable when there is neither a key nor a server of one's own, which may need none."""
        base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        key = os.environ.get("OPENAI_API_KEY")
        if not key and base_url is None:
            raise Unavailable("no key: set OPENAI_API_KEY, or the base URL of a server that needs none")
        self._model = model
        self._client = openai.AsyncOpenAI(
            api_key=key or NO_KEY,
            base_url=base_url,
            timeout=settings.timeout_seconds,
            max_retries=settings.n_retries,
        )
        self.n_in_flight = settings.n_in_flight
        self._length_parameter = "max_tokens"

    @property
    def n_context(self) -> int | None:
        return None

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return sum(TOKENS_PER_MESSAGE + estimated_tokens(message.content) for message in messages)

    async def complete(
        self, messages: Sequence[ChatMessage], *, temperature: float, top_p: float, max_tokens: int, seed: int | None
    ) -> Completion:
        options: dict[str, Any] = {"temperature": temperature, "top_p": top_p}
        if seed is not None:
            options["seed"] = seed
        try:
            answer = await self._ask(messages, options, max_tokens)
        except openai.OpenAIError as error:
            raise self._call_failed(error) from error
        return _completion(answer)

    async def _ask(self, messages: Sequence[ChatMessage], options: dict[str, Any], max_tokens: int) -> ChatCompletion:
        try:
            return await self._create(messages, {**options, self._length_parameter: max_tokens})
        except openai.BadRequestError as error:
            # Newer models refuse `max_tokens` and name its successor, which other servers do not know yet.
            if self._length_parameter == "max_tokens" and "max_completion_tokens" in str(error):
                self._length_parameter = "max_completion_tokens"
                return await self._create(messages, {**options, self._length_parameter: max_tokens})
            raise

    async def _create(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> ChatCompletion:
        chat: Any = [{"role": message.role, "content": message.content} for message in messages]
        answer: ChatCompletion = await self._client.chat.completions.create(model=self._model, messages=chat, **options)
        return answer

    def _call_failed(self, error: openai.OpenAIError) -> CallFailed:
        # The detail is stored and shown; some servers repeat the key in what they answer.
        detail = str(error).replace(self._client.api_key, "(key)")[:MAX_DETAIL_LENGTH]
        return CallFailed(_failure(error), detail)

    async def check(self) -> None:
        """Asks for the list of models: a server that answers anything but "unknown key" will do."""
        client = self._client.with_options(max_retries=1, timeout=MAX_CHECK_SECONDS)
        try:
            await client.models.list()
        except openai.APIConnectionError as error:
            raise ExplainerUnreachable(
                f"the explainer at {self._client.base_url} cannot be reached: {error}"
            ) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise Unavailable(f"the explainer at {self._client.base_url} refuses the key in OPENAI_API_KEY") from error
        except openai.OpenAIError:
            return  # Many servers have no list of models; that they answer is enough.

    async def close(self) -> None:
        await self._client.close()


def estimated_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: no tokenizer of a hosted model comes with this program.

    Words count one per seven letters, digits one per three, every other character one; beyond ASCII one per character.
    """
    n_beyond_ascii = sum(not character.isascii() for character in text)
    return len(_TOKEN_SIZED.findall(text)) + n_beyond_ascii


def _completion(answer: ChatCompletion) -> Completion:
    usage = answer.usage
    n_prompt_tokens = usage.prompt_tokens if usage else None
    n_completion_tokens = usage.completion_tokens if usage else None
    if not answer.choices:
        return Completion("", n_prompt_tokens, n_completion_tokens, "stop")
    choice = answer.choices[0]
    return Completion(
        text=choice.message.content or "",
        n_prompt_tokens=n_prompt_tokens,
        n_completion_tokens=n_completion_tokens,
        finish_reason=choice.finish_reason or "stop",
        refusal=choice.message.refusal,
    )


def _failure(error: openai.OpenAIError) -> str:
    """The reason, out of `app.explanations.failures`, for which a call came to nothing."""
    code = getattr(error, "code", None)
    if code == "context_length_exceeded":
        return failures.TOO_LONG
    # A used-up account answers like a rate limit, but waiting does not mend it.
    if isinstance(error, openai.RateLimitError) and code != "insufficient_quota":
        return failures.RATE_LIMIT
    if isinstance(error, openai.APIConnectionError | openai.InternalServerError):
        return failures.CONNECTION
    return failures.REJECTED
