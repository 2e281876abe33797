"""Chat completions by a language model in this process. Prompts that begin alike share that beginning's computation.

Prompts of one method differ only in the neuron to explain, after the system message and the few-shot neurons. What
attention keeps of a prompt is kept here for the next one, which computes only the tokens after the longest common
beginning.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from app.errors import InvalidInput
from app.explanations import failures
from app.explanations.methods.prompt import ChatMessage
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.growing_cache import can_be_cut, growing_cache
from worker.subjects.model_files import silence_transformers

N_KEPT_PROMPTS = 2
LEAST_SHARED_PART = 0.25
"""Share of a prompt that must be known, or it is read afresh: the prompts of all methods begin with one paragraph."""


_Found = TypeVar("_Found")


@dataclass
class _KeptPrompt:
    """Tokens, and what attention has computed of them."""

    token_ids: list[int]
    cache: DynamicCache


class LocalChat:
    """A causal language model with its tokenizer, in float32 on a CPU.

    A tokenizer with a chat template lays the chat out by it. Without one the messages are simply joined: each ends
    where the next begins, the system's paragraphs, question and answer, so that a model without chat training goes on
    in the same way.
    An explanation is one line: writing ends at the first newline after some text.
    """

    n_in_flight = 1

    def __init__(self, model: Any, tokenizer: Any):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._stop_ids = _stop_ids(model, tokenizer)
        self._kept: list[_KeptPrompt] = []
        # One thread for all completions: each thread that computes would bring a team of threads of its own.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-chat")
        self.n_context: int | None = getattr(model.config, "max_position_embeddings", None)

    @classmethod
    def load(cls, folder: str, n_threads: int | None = None) -> "LocalChat":
        """A model out of a folder as transformers saves it.

        n_threads: CPU threads of this whole process. Errors: InvalidInput when no causal model can be read from it.
        """
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        silence_transformers()
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise InvalidInput(f"no language model can be loaded from {folder!r}: {reason}") from error
        return cls(model, tokenizer)

    @property
    def model(self) -> Any:
        """For simulators, which read it from within; to be computed with by `run` only."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        return self._tokenizer

    async def run(self, work: Callable[[], _Found]) -> _Found:
        """Does some work with the model in its own thread, after what that does now."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return len(self._token_ids(messages))

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
        is_given_up = threading.Event()
        sampler = Sampler(temperature, top_p, seed)
        try:
            # In a thread, so that the event loop goes on: the worker must be able to say that it lives.
            arguments = (self._token_ids(messages), sampler, max_tokens, is_given_up, n_top_logprobs)
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._complete, *arguments)
        finally:
            # A thread cannot be cancelled; it looks at this after every token.
            is_given_up.set()

    async def check(self) -> None:
        """Nothing to do: whoever has loaded the model can use it."""

    async def close(self) -> None:
        """Nothing to do: the model and what it has read stay for the next shard."""

    def _complete(
        self,
        prompt_ids: list[int],
        sampler: "Sampler",
        max_tokens: int,
        is_given_up: threading.Event,
        n_top_logprobs: int | None,
    ) -> Completion:
        if self.n_context is not None and len(prompt_ids) + max_tokens > self.n_context:
            raise CallFailed(failures.TOO_LONG, f"{len(prompt_ids)} tokens; the model reads {self.n_context}")
        with torch.inference_mode():
            kept = self._take_kept(prompt_ids)
            logits = self._read_on(kept, prompt_ids[len(kept.token_ids) :])
            written: list[int] = []
            likeliest: list[Mapping[str, float]] = []
            finish_reason = None
            while finish_reason is None and not is_given_up.is_set():
                token_id = sampler.choose(logits)
                finish_reason = self._finish_reason(written, token_id, max_tokens)
                if n_top_logprobs is not None and len(likeliest) < len(written):
                    likeliest.append(self._likeliest(logits, n_top_logprobs))
                if finish_reason is None:
                    logits = self._read_on(kept, [token_id])
            self._keep(kept)
        return Completion(
            text=self._text(written),
            n_prompt_tokens=len(prompt_ids),
            n_completion_tokens=len(written),
            finish_reason=finish_reason or "stop",
            top_logprobs=None if n_top_logprobs is None else tuple(likeliest),
        )

    def _finish_reason(self, written: list[int], token_id: int, max_tokens: int) -> str | None:
        """Appends the token unless it says stop; why writing ends with it, or None while it goes on."""
        if token_id in self._stop_ids:
            return "stop"
        written.append(token_id)
        if "\n" in self._text(written).lstrip():
            return "stop"
        return "length" if len(written) == max_tokens else None

    def _token_ids(self, messages: Sequence[ChatMessage]) -> list[int]:
        if getattr(self._tokenizer, "chat_template", None):
            chat = [{"role": message.role, "content": message.content} for message in messages]
            text = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        joined: list[int] = self._tokenizer("".join(message.content for message in messages))["input_ids"]
        return joined

    def _text(self, token_ids: list[int]) -> str:
        text: str = self._tokenizer.decode(token_ids, skip_special_tokens=True)
        return text

    def _likeliest(self, logits: torch.Tensor, n: int) -> Mapping[str, float]:
        """Texts of the likeliest tokens, each with its log probability at temperature 1. logits: shape (words,)."""
        logprobs, token_ids = torch.log_softmax(logits, dim=-1).topk(min(n, logits.shape[0]))
        pairs = zip(token_ids.tolist(), logprobs.tolist(), strict=True)
        # Two tokens may have one text, parts of a character for example: the likelier comes first, and stays.
        return {self._text([token_id]): logprob for token_id, logprob in reversed(list(pairs))}

    def _take_kept(self, prompt_ids: list[int]) -> _KeptPrompt:
        """The kept prompt that shares most with this one, cut to what they share; or an empty one."""
        # The last token is always computed anew: its logits are what the first written token is chosen from.
        usable = prompt_ids[:-1]
        shared = [_n_common(kept.token_ids, usable) for kept in self._kept]
        best = max(range(len(shared)), key=shared.__getitem__, default=None)
        if best is None or shared[best] < LEAST_SHARED_PART * len(prompt_ids):
            return _KeptPrompt([], growing_cache(self._model.config))
        kept = self._kept.pop(best)
        n_surplus = len(kept.token_ids) - shared[best]
        if n_surplus:
            kept.cache.crop(-n_surplus)
            del kept.token_ids[shared[best] :]
        return kept

    def _keep(self, kept: _KeptPrompt) -> None:
        if can_be_cut(kept.cache):
            self._kept = [kept, *self._kept][:N_KEPT_PROMPTS]

    def _read_on(self, kept: _KeptPrompt, token_ids: list[int]) -> torch.Tensor:
        """Reads further tokens behind the kept ones; returns the logits of the next token, shape (vocabulary,)."""
        ids = torch.tensor([token_ids], device=self._model.device)
        output = self._model(ids, past_key_values=kept.cache, use_cache=True, logits_to_keep=1)
        kept.token_ids.extend(token_ids)
        logits: torch.Tensor = output.logits[0, -1].float().cpu()
        return logits


class Sampler:
    """Chooses tokens: the likeliest at temperature 0, else drawn with a generator of its own.

    top_p: draws only from the likeliest tokens whose probabilities add up to this. seed: None draws anew each time.
    """

    def __init__(self, temperature: float, top_p: float, seed: int | None):
        self._temperature = temperature
        self._top_p = top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """logits: shape (vocabulary,). Returns a token id."""
        if self._temperature == 0:
            return int(logits.argmax())
        probabilities, order = torch.softmax(logits / self._temperature, dim=-1).sort(descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        # The likeliest token has nothing before it, so at least one stays.
        allowed = torch.where(before < self._top_p, probabilities, 0.0)
        return int(order[torch.multinomial(allowed, 1, generator=self._generator)])


def _n_common(first: list[int], second: list[int]) -> int:
    n_common = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        n_common += 1
    return n_common


def _stop_ids(model: Any, tokenizer: Any) -> set[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    stop_ids = set(configured if isinstance(configured, list) else [configured]) | {tokenizer.eos_token_id}
    return {stop_id for stop_id in stop_ids if stop_id is not None}
