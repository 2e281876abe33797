"""Calls that are paid for: asked once, within a batch's budget, and kept. Knows a batch's money, no prompt and no row.

Every call goes the same way: one transaction that asks whether the batch is still to be worked on and the answer there
already, and reserves what the call may cost at most; then the call; then one transaction that keeps the answer and adds
what it cost. A call that fails gives back what was reserved for it. The same call is under way once at a time, over all
workers; only two batches that begin it at the same moment on PostgreSQL both pay for it. What a server charges for an
answer that never came back (a lost connection, a worker that died) is known to nobody here.
"""

import asyncio
import functools
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.batches import spending
from app.batches.spending import (
    SILENT_SECONDS,
    SILENT_SECONDS_AT_FIRST,
    BatchStopped,
    Begun,
    BudgetReached,
    Estimate,
    Spent,
)
from app.database import Database
from app.explanations import failures
from app.explanations.explainers import OPENAI, CallSettings, Explainer, cost_usd
from app.explanations.methods.prompt import ChatMessage
from app.explanations.token_counting import counter_for
from worker.batches.writing_together import write_together
from worker.database_errors import is_passing
from worker.explaining.chat import CallFailed, ChatModel, Completion, still_wanted
from worker.explaining.openai_server import server_url
from worker.explaining.under_way import RENEW_SECONDS, renewed, the_only_one

__all__ = ["BatchCalls", "BatchStopped", "BudgetReached", "Estimate", "PaidChat", "PaidCompletion", "Spent", "paid"]
WAITING_PAUSE_SECONDS = 0.5
"""Between two looks at a budget that other calls under way have reserved, or at the same call of another worker."""
OBSERVED_SECONDS = 1.2 * RENEW_SECONDS
"""From the first look at a reservation until its silence says that its worker is dead: in that time living ones have
written a sign of life."""
SETTLE_PAUSES = (1.0, 4.0, 16.0)
"""Seconds between tries to keep a paid answer while the database is away or busy."""


@dataclass(frozen=True)
class BatchCalls:
    """On whose behalf calls are made. submission: of the batch, when the job that asks was handed over."""

    batch_id: int
    submission: int
    explainer: Explainer
    settings: CallSettings


@dataclass(frozen=True)
class PaidCompletion:
    """cost_usd: 0 for an answer that had been paid before, None where no price is known."""

    completion: Completion
    cost_usd: float | None
    is_from_cache: bool


class PaidChat:
    """A chat model that a batch pays for.

    Answers of a local model are not kept: they cost nothing, and no cheap look at its folder says for sure that it is
    still the same model. What it computes counts towards the batch's tokens all the same.
    """

    def __init__(self, chat: ChatModel, database: Database, batch: BatchCalls):
        self._chat = chat
        self._database = database
        self._batch = batch
        self._is_kept = batch.explainer.kind == OPENAI

    @property
    def n_context(self) -> int | None:
        return self._chat.n_context

    @property
    def n_in_flight(self) -> int:
        return self._chat.n_in_flight

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return self._chat.count_tokens(messages)

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
        """sample, attempt: answers of another sample, or of another attempt after a failure, are never the same one.

        Errors: CallFailed, also when the server gives no log probabilities where some were asked for; BatchStopped;
        BudgetReached.
        """
        asked = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed}
        asked["n_top_logprobs"] = n_top_logprobs

        async def ask() -> dict[str, Any]:
            completion = await self._chat.complete(
                messages,
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_tokens,
                seed=seed,
                n_top_logprobs=n_top_logprobs,
            )
            return asdict(completion)

        n_prompt_tokens = self._n_prompt_tokens_at_most(messages)
        answer, is_from_cache = await paid(
            self._database,
            self._batch,
            self._key([asdict(message) for message in messages], asked | {"sample": sample, "attempt": attempt}),
            Estimate(n_prompt_tokens + max_tokens, self._cost(n_prompt_tokens, max_tokens)),
            ask,
            lambda answer: self._spent(answer, n_prompt_tokens, max_tokens),
            is_kept=self._is_kept,
        )
        completion = _completion(answer)
        if n_top_logprobs is not None and completion.top_logprobs is None:
            raise CallFailed(failures.UNSUPPORTED, "the server gives no log probabilities of tokens")
        cost = 0.0 if is_from_cache else self._cost(completion.n_prompt_tokens, completion.n_completion_tokens)
        return PaidCompletion(completion, cost, is_from_cache)

    async def close(self) -> None:
        await self._chat.close()

    def _key(self, messages: list[dict[str, Any]], asked: dict[str, Any]) -> bytes:
        server = server_url(self._batch.settings) if self._is_kept else ""
        return call_key(server, str(self._batch.explainer), messages, asked)

    def _n_prompt_tokens_at_most(self, messages: Sequence[ChatMessage]) -> int:
        if self._batch.explainer.kind == OPENAI:
            return counter_for(self._batch.explainer).n_tokens_at_most(messages)
        return self._chat.count_tokens(messages)

    def _spent(self, answer: dict[str, Any], n_prompt_tokens: int, max_tokens: int) -> Spent:
        # A server that does not count may have taken as much as was reserved.
        n_prompt = n_prompt_tokens if answer["n_prompt_tokens"] is None else answer["n_prompt_tokens"]
        n_completion = max_tokens if answer["n_completion_tokens"] is None else answer["n_completion_tokens"]
        return Spent(n_prompt + n_completion, self._cost(n_prompt, n_completion))

    def _cost(self, n_prompt_tokens: int | None, n_completion_tokens: int | None) -> float | None:
        return cost_usd(self._batch.explainer, self._batch.settings, n_prompt_tokens, n_completion_tokens)


def call_key(server: str, model: str, asked_about: Any, asked: dict[str, Any]) -> bytes:
    """SHA-256 of everything that makes two calls the same. asked_about: messages or texts, as JSON can write them."""
    canonical = json.dumps([server, model, asked_about, asked], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).digest()


async def paid(
    database: Database,
    calls: BatchCalls,
    key: bytes,
    estimate: Estimate,
    ask: Callable[[], Awaitable[dict[str, Any]]],
    settle: Callable[[dict[str, Any]], Spent],
    *,
    is_kept: bool = True,
) -> tuple[dict[str, Any], bool]:
    """The answer as JSON, and whether it had been paid before.

    key: see call_key. estimate: what the call may cost at most. ask: makes the call. settle: what its answer cost; an
    answer may have a `remark` for the batch. is_kept: whether the answer is kept for whoever asks the same.
    Errors: those of `ask`, BatchStopped, BudgetReached.
    """
    async with the_only_one(database, key):
        kept_answer = await _kept_answer_or_reserved(database, calls, key, estimate)
        if kept_answer is not None:
            return kept_answer, True
        async with renewed(database, calls.batch_id, key):
            try:
                answer = await _asked(database, calls, ask)
                spent = settle(answer)
            except BaseException:
                await _release(database, calls, key)
                raise
            # Also when whoever asked is stopped at this moment, what was paid for is kept.
            await _settle(database, calls, key, spent, answer, is_kept=is_kept)
        return answer, False


async def _kept_answer_or_reserved(
    database: Database, calls: BatchCalls, key: bytes, estimate: Estimate
) -> dict[str, Any] | None:
    """The kept answer of a call; None once what the call may cost is reserved.

    Calls under way mostly turn out cheaper than what they have reserved, so it is worth waiting for them; it ends, for
    they end or fall silent. Whoever is cancelled while reserving leaves a reservation that nobody renews.
    """

    first_look: float | None = None

    def begin(session: Session) -> Begun | None:
        nonlocal first_look
        first_look = first_look or time.monotonic()
        has_observed = time.monotonic() - first_look > OBSERVED_SECONDS
        silent_seconds = SILENT_SECONDS if has_observed else SILENT_SECONDS_AT_FIRST
        return spending.begin_call(session, calls.batch_id, calls.submission, key, estimate, silent_seconds)

    while (begun := await write_together(database, begin)) is None:
        await asyncio.sleep(WAITING_PAUSE_SECONDS * random.uniform(0.5, 1.5))
    return begun.answer


async def _asked(database: Database, calls: BatchCalls, ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    def check() -> None:
        with database.reading() as session:
            spending.check_wanted(session, calls.batch_id, calls.submission)

    token = still_wanted.set(functools.partial(asyncio.to_thread, check))
    try:
        return await ask()
    finally:
        still_wanted.reset(token)


async def _settle(
    database: Database, calls: BatchCalls, key: bytes, spent: Spent, answer: dict[str, Any], *, is_kept: bool
) -> None:
    def write(session: Session) -> None:
        kept, remark = answer if is_kept else None, answer.get("remark")
        spending.settle(session, calls.batch_id, key, spent, answer=kept, remark=remark)

    for pause in SETTLE_PAUSES:
        try:
            return await write_together(database, write)
        except Exception as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(pause)
    await write_together(database, write)


async def _release(database: Database, calls: BatchCalls, key: bytes) -> None:
    try:
        await write_together(database, lambda session: spending.release(session, calls.batch_id, key))
    except Exception as error:
        # Nobody renews it, so it soon counts no more. Why the call failed is worth more than this.
        if not is_passing(error):
            raise


def _completion(answer: dict[str, Any]) -> Completion:
    top_logprobs = answer["top_logprobs"]
    return Completion(**answer | {"top_logprobs": None if top_logprobs is None else tuple(top_logprobs)})
