"""Chat completions from a server that speaks OpenAI's format. Knows the format of a chat; turns and keys are the
server's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from app.explanations import failures
from app.explanations.explainers import OPENAI, CallSettings, Explainer
from app.explanations.methods.prompt import ChatMessage
from app.explanations.token_counting import TokenCounter, counter_for
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.openai_server import OpenAIServer
from worker.explaining.refused_settings import refuses_logprobs


class OpenAIChat:
    """One model of one server. Tries again after lost connections and rate limits, as long as Retry-After says."""

    def __init__(self, model: str, settings: CallSettings, server: OpenAIServer | None = None):
        """server: shared with the other chats of this worker; None: one of its own.

        Errors: Unavailable when there is neither a key nor a server of one's own, which may need none.
        """
        self._model = model
        self._settings = settings
        self._server = server or OpenAIServer(settings)
        self._client = self._server.client(settings)
        self._refused = self._server.refused_by(model)
        self.counter: TokenCounter = counter_for(Explainer(OPENAI, model))
        self.n_in_flight = settings.n_in_flight

    @property
    def n_context(self) -> int | None:
        return None

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return self.counter.n_tokens(messages)

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
        options: dict[str, Any] = {"temperature": temperature, "top_p": top_p}
        if seed is not None:
            options["seed"] = seed
        if n_top_logprobs is not None:
            options |= {"logprobs": True, "top_logprobs": n_top_logprobs}
        n_tokens = self.count_tokens(messages) + max_tokens
        with self._server.asking(self._model, self._settings, n_tokens):
            answer = await self._ask(messages, options, max_tokens)
        if answer.usage:
            self._server.count_used(self._model, self._settings, n_tokens, answer.usage.total_tokens)
        return replace(self._without_key(_completion(answer)), remark=self._refused.remark)

    def _without_key(self, completion: Completion) -> Completion:
        """Some servers repeat the key in what they answer, and all of this is stored."""
        clean = self._server.without_key
        return replace(
            completion,
            text=clean(completion.text),
            finish_reason=clean(completion.finish_reason),
            refusal=None if completion.refusal is None else clean(completion.refusal),
            top_logprobs=completion.top_logprobs
            and tuple({clean(token): logprob for token, logprob in tops.items()} for tops in completion.top_logprobs),
        )

    async def _ask(self, messages: Sequence[ChatMessage], options: dict[str, Any], max_tokens: int) -> ChatCompletion:
        while True:
            asked = self._refused.request(options, max_tokens)
            try:
                return await self._create(messages, asked)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                # Each round leaves out or renames one setting of those asked for, so there are few.
                if self._refused.learn(error, asked) is None:
                    if "logprobs" in asked and refuses_logprobs(error):
                        raise self._unsupported(error) from error
                    raise

    def _unsupported(self, error: openai.APIStatusError) -> CallFailed:
        return CallFailed(failures.UNSUPPORTED, self._server.call_failed(error).detail)

    async def _create(self, messages: Sequence[ChatMessage], options: dict[str, Any]) -> ChatCompletion:
        chat = [{"role": message.role, "content": message.content} for message in messages]
        # As it is: the client would look for special cases in every part of every message, for longer than all the
        # rest of a call takes.
        body: dict[str, Any] = {"messages": chat, **options}
        answer: ChatCompletion = await self._client.chat.completions.create(
            model=self._model, messages=[], extra_body=body
        )
        return answer

    async def check(self) -> None:
        """Errors: Unavailable when the server cannot be reached or refuses the key."""
        await self._server.check()

    async def close(self) -> None:
        await self._client.close()


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
        top_logprobs=_top_logprobs(choice),
    )


def _top_logprobs(choice: Choice) -> tuple[Mapping[str, float], ...] | None:
    if choice.logprobs is None or choice.logprobs.content is None:
        return None
    places = [place.top_logprobs for place in choice.logprobs.content]
    if not any(places):
        return None
    # Two tokens may have one text: the likelier comes first, and stays.
    return tuple({top.token: top.logprob for top in reversed(tops)} for tops in places)
