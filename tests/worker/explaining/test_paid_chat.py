"""Calls that a batch pays for: asked once, within the budget, kept. On both databases."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.batches.models import CANCELLED, PAUSED, RUNNING, Batch, CallReservation, PaidCall
from app.batches.spending import SILENT_SECONDS_AT_FIRST, Begun, begin_call, settle
from app.database import Database, utc_now
from app.errors import DatabaseBusy
from app.explanations import failures
from app.explanations.explainers import CallSettings, Explainer
from app.explanations.methods.prompt import ChatMessage
from tests.batches.test_spending import make_batch, reserved, silence, stored
from worker.explaining import paid_chat as paying_module
from worker.explaining import under_way
from worker.explaining.chat import CallFailed, Completion, still_wanted
from worker.explaining.paid_chat import (
    BatchCalls,
    BatchStopped,
    BudgetReached,
    Estimate,
    PaidChat,
    PaidCompletion,
    Spent,
    paid,
)

MESSAGES = (ChatMessage("system", "Explain."), ChatMessage("user", "Neuron 4"))
SETTINGS = CallSettings(
    base_url="http://127.0.0.1:9/v1", usd_per_million_prompt_tokens=1000, usd_per_million_completion_tokens=2000
)
MOST_PROMPT_TOKENS = 8 + 8 + 2 * 32
"""Of MESSAGES, by their bytes and their layout: no tokenizer of gpt-x is here."""
ASKED: dict[str, Any] = {"sample": 0, "attempt": 0, "temperature": 1.0, "top_p": 1.0, "max_tokens": 60, "seed": None}
WORDS = Completion("words", 10, 5, "stop")
WORDS_COST = (10 * 1000 + 5 * 2000) / 1e6


class CountingChat:
    """Answers what it is told to, and counts how often it is asked."""

    n_context = None
    n_in_flight = 4

    def __init__(self, *answers: Completion | Exception, during: Callable[[], Coroutine[Any, Any, None]] | None = None):
        self._answers = answers
        self._during = during
        self.n_asked = 0

    def count_tokens(self, messages: Sequence[ChatMessage]) -> int:
        return 7

    async def complete(self, messages: Sequence[ChatMessage], **asked: Any) -> Completion:
        self.n_asked += 1
        if self._during is not None:
            await self._during()
        answer = self._answers[min(self.n_asked, len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def check(self) -> None: ...

    async def close(self) -> None: ...


def paid_chat(database: Database, batch_id: int, chat: CountingChat, **options: Any) -> PaidChat:
    values = {"submission": 0, "explainer": Explainer("openai", "gpt-x"), "settings": SETTINGS}
    return PaidChat(chat, database, BatchCalls(batch_id, **values | options))


def completed(chat: PaidChat, messages: Sequence[ChatMessage] = MESSAGES, **asked: Any) -> PaidCompletion:
    return asyncio.run(asyncio.wait_for(chat.complete(messages, **ASKED | asked), 20))


def n_kept(database: Database) -> tuple[int, int]:
    """Answers and reservations."""
    with database.reading() as session:
        return tuple(
            session.scalar(sa.select(sa.func.count()).select_from(table)) for table in (PaidCall, CallReservation)
        )


def test_the_same_call_is_paid_once_by_whichever_batch(database: Database) -> None:
    first, second = make_batch(database), make_batch(database)
    chat = CountingChat(WORDS)
    assert completed(paid_chat(database, first, chat)) == PaidCompletion(WORDS, WORDS_COST, is_from_cache=False)
    assert completed(paid_chat(database, second, chat)) == PaidCompletion(WORDS, 0.0, is_from_cache=True)
    assert chat.n_asked == 1
    batches = [stored(database, batch_id) for batch_id in (first, second)]
    assert [(one.spent_usd, one.spent_tokens, one.n_calls) for one in batches] == [(WORDS_COST, 15, 1), (0.0, 0, 0)]
    assert n_kept(database) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"sample": 1},
        {"attempt": 1},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 61},
        {"seed": 4},
        {"n_top_logprobs": 3},
        {"messages": (*MESSAGES, ChatMessage("user", "?"))},
        {"messages": (ChatMessage("user", "Explain."), MESSAGES[1])},
    ],
)
def test_whatever_is_asked_otherwise_is_another_call(database: Database, change: dict[str, Any]) -> None:
    batch_id = make_batch(database)
    chat = CountingChat(Completion("words", 10, 5, "stop", top_logprobs=({"words": -0.5},)))
    completed(paid_chat(database, batch_id, chat))
    assert not completed(paid_chat(database, batch_id, chat), **change).is_from_cache


@pytest.mark.parametrize(
    "other", [{"explainer": Explainer("openai", "gpt-y")}, {"settings": CallSettings(base_url="http://127.0.0.1:8")}]
)
def test_another_model_or_server_is_another_call(database: Database, other: dict[str, Any]) -> None:
    batch_id = make_batch(database)
    chat = CountingChat(WORDS)
    completed(paid_chat(database, batch_id, chat))
    assert not completed(paid_chat(database, batch_id, chat, **other)).is_from_cache


def test_a_kept_answer_comes_back_whole(database: Database) -> None:
    batch_id = make_batch(database)
    whole = Completion("größer\x00", None, None, "length", "no", ({" 1": -0.25, "\x00": -9.0}, {}), "a remark")
    chat = paid_chat(database, batch_id, CountingChat(whole))
    assert completed(chat, n_top_logprobs=2).completion == whole
    again = completed(chat, n_top_logprobs=2)
    assert (again.completion, again.is_from_cache) == (whole, True)
    assert stored(database, batch_id).remark == "a remark"


def test_a_server_that_does_not_count_is_taken_to_have_used_what_was_reserved(database: Database) -> None:
    batch_id = make_batch(database, budget_usd=1.0)
    answer = completed(paid_chat(database, batch_id, CountingChat(Completion("words", None, None, "stop"))))
    assert answer.cost_usd is None
    batch = stored(database, batch_id)
    assert batch.spent_tokens == MOST_PROMPT_TOKENS + 60
    assert batch.spent_usd == pytest.approx((MOST_PROMPT_TOKENS * 1000 + 60 * 2000) / 1e6)


def test_a_failed_call_costs_nothing_holds_nothing_and_is_asked_again(database: Database) -> None:
    batch_id = make_batch(database, budget_usd=1.0)
    chat = CountingChat(CallFailed(failures.CONNECTION, "gone"), WORDS)
    with pytest.raises(CallFailed, match="gone"):
        completed(paid_chat(database, batch_id, chat))
    assert n_kept(database) == (0, 0)
    assert stored(database, batch_id).n_calls == 0
    assert completed(paid_chat(database, batch_id, chat)).completion == WORDS


def test_during_a_call_what_it_may_cost_at_most_is_reserved(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=1000)
    seen: list[int] = []

    async def look() -> None:
        with database.reading() as session:
            seen.extend(session.scalars(sa.select(CallReservation.tokens)))

    completed(paid_chat(database, batch_id, CountingChat(WORDS, during=look)))
    assert seen == [MOST_PROMPT_TOKENS + 60]
    assert n_kept(database) == (1, 0)


def test_a_call_that_is_given_up_gives_its_reservation_back(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=1000)

    async def give_up() -> None:
        has_begun = asyncio.Event()

        async def hang() -> None:
            has_begun.set()
            await asyncio.Event().wait()

        chat = paid_chat(database, batch_id, CountingChat(WORDS, during=hang))
        call = asyncio.create_task(chat.complete(MESSAGES, **ASKED))
        await has_begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(give_up())
    assert n_kept(database) == (0, 0)


def test_a_budget_stops_before_the_call_that_might_pass_it(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=2 * 15 + MOST_PROMPT_TOKENS + 60 - 1)
    chat = CountingChat(WORDS)
    paying = paid_chat(database, batch_id, chat)
    for sample in range(2):
        completed(paying, sample=sample)
    with pytest.raises(BudgetReached, match="another call: 30 are spent, and one may take up to 140"):
        completed(paying, sample=2)
    # What was paid for is there, budget or no budget.
    assert completed(paying, sample=1).is_from_cache
    assert chat.n_asked == 2


def test_calls_at_once_wait_for_what_others_give_back_and_then_stop(database: Database) -> None:
    n_enough = 5
    batch_id = make_batch(database, budget_tokens=(n_enough - 1) * 15 + MOST_PROMPT_TOKENS + 60)
    chat = CountingChat(WORDS)
    paying = paid_chat(database, batch_id, chat)

    async def all_at_once() -> list[PaidCompletion | BaseException]:
        calls = (paying.complete(MESSAGES, **ASKED | {"sample": sample}) for sample in range(n_enough + 3))
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(all_at_once())
    assert sum(isinstance(answer, BudgetReached) for answer in answers) == 3
    assert chat.n_asked == n_enough
    assert stored(database, batch_id).spent_tokens == n_enough * 15
    assert n_kept(database) == (n_enough, 0)


BUDGETS = pytest.mark.parametrize("budget", [{}, {"budget_tokens": MOST_PROMPT_TOKENS + 60}], ids=["none", "for one"])


@BUDGETS
def test_the_same_call_at_once_is_asked_and_paid_once(database: Database, budget: dict[str, int]) -> None:
    batch_id = make_batch(database, **budget)
    chat = CountingChat(WORDS, during=lambda: asyncio.sleep(0.01))

    async def all_at_once() -> list[PaidCompletion]:
        paying = paid_chat(database, batch_id, chat)
        return await asyncio.gather(*(paying.complete(MESSAGES, **ASKED) for _ in range(3)))

    assert sorted(answer.is_from_cache for answer in asyncio.run(all_at_once())) == [False, True, True]
    assert chat.n_asked == 1
    assert (stored(database, batch_id).spent_tokens, n_kept(database)) == (15, (1, 0))


@BUDGETS
def test_a_batch_that_is_resumed_waits_for_its_call_under_way(database: Database, budget: dict[str, int]) -> None:
    batch_id = make_batch(database, **budget)

    async def pause_and_resume() -> list[PaidCompletion]:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def answer_later() -> None:
            is_asked.set()
            await may_answer.wait()

        chat = CountingChat(WORDS, during=answer_later)
        old = asyncio.create_task(paid_chat(database, batch_id, chat).complete(MESSAGES, **ASKED))
        await is_asked.wait()
        for values in ({"status": PAUSED}, {"status": RUNNING, "submission": 1}):
            with database.writing() as session:
                session.execute(sa.update(Batch).values(values))
        new = asyncio.create_task(paid_chat(database, batch_id, chat, submission=1).complete(MESSAGES, **ASKED))
        await asyncio.sleep(0.02)
        may_answer.set()
        answers = await asyncio.gather(old, new)
        assert chat.n_asked == 1
        return answers

    assert [answer.is_from_cache for answer in asyncio.run(pause_and_resume())] == [False, True]
    assert stored(database, batch_id).spent_tokens == 15


@BUDGETS
def test_a_call_that_another_worker_makes_is_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, budget: dict[str, int]
) -> None:
    monkeypatch.setattr(paying_module, "WAITING_PAUSE_SECONDS", 0.01)
    batch_id = make_batch(database, **budget)
    calls = BatchCalls(batch_id, 0, Explainer("openai", "gpt-x"), SETTINGS)
    with database.writing() as session:
        assert begin_call(session, batch_id, 0, b"key", Estimate(100, None)) == Begun(None)

    async def never() -> dict[str, Any]:
        raise AssertionError("asked twice")

    async def wait_for_the_other() -> tuple[dict[str, Any], bool]:
        waiting = asyncio.create_task(
            paid(database, calls, b"key", Estimate(100, None), never, lambda _: Spent(0, None))
        )
        await asyncio.sleep(0.05)
        assert not waiting.done()
        with database.writing() as session:
            settle(session, batch_id, b"key", Spent(5, None), answer={"of": "the other"})
        return await waiting

    assert asyncio.run(wait_for_the_other()) == ({"of": "the other"}, True)
    assert stored(database, batch_id).spent_tokens == 5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paying_module, "WAITING_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(paying_module, "OBSERVED_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
def test_what_a_dead_worker_has_reserved_stops_nobody_for_long(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=MOST_PROMPT_TOKENS + 60)
    with database.writing() as session:
        begin_call(session, batch_id, 0, b"dead", Estimate(100, None))
    silence(database)
    began = time.monotonic()
    chat = CountingChat(WORDS)
    assert completed(paid_chat(database, batch_id, chat)).completion == WORDS
    assert time.monotonic() - began > 0.1, "its silence may have been that of the database"


@pytest.mark.usefixtures("impatient")
def test_a_dead_reservation_goes_when_the_answer_is_found(database: Database) -> None:
    batch_id, other_id = make_batch(database, budget_tokens=1000), make_batch(database)

    class Killed(Exception): ...

    with pytest.raises(Killed), died_during_a_call():
        completed(paid_chat(database, batch_id, CountingChat(Killed())))
    assert n_kept(database) == (0, 1)
    silence(database, SILENT_SECONDS_AT_FIRST + 1)
    completed(paid_chat(database, other_id, CountingChat(WORDS)))
    assert completed(paid_chat(database, batch_id, CountingChat())).is_from_cache
    assert n_kept(database) == (1, 0)


@contextmanager
def died_during_a_call() -> Iterator[None]:
    """Whatever is reserved inside is not given back."""

    async def nothing(*_: Any) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paying_module, "_release", nothing)
        yield


def test_a_call_says_that_it_lives_however_long_it_waits_for_its_turn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_way, "RENEW_SECONDS", 0.005)
    batch_id = make_batch(database, budget_tokens=1000)

    async def fall_silent_and_wait_for_a_sign() -> None:
        silence(database)
        async with asyncio.timeout(10):
            while is_silent(database):
                await asyncio.sleep(0.005)

    completed(paid_chat(database, batch_id, CountingChat(WORDS, during=fall_silent_and_wait_for_a_sign)))
    assert reserved(database) == {}


def is_silent(database: Database) -> bool:
    with database.reading() as session:
        (moment,) = session.scalars(sa.select(CallReservation.created_at))
    return (utc_now() - moment).total_seconds() > 30


def test_a_paid_answer_outlives_a_busy_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paying_module, "SETTLE_PAUSES", (0, 0, 0))
    batch_id = make_batch(database, budget_tokens=1000)
    settling, n_tries = paying_module.spending.settle, 0

    def busy_at_first(*arguments: Any, **options: Any) -> None:
        nonlocal n_tries
        n_tries += 1
        if n_tries <= 3:
            raise DatabaseBusy("busy")
        settling(*arguments, **options)

    monkeypatch.setattr(paying_module.spending, "settle", busy_at_first)
    chat = CountingChat(WORDS)
    assert completed(paid_chat(database, batch_id, chat)).completion == WORDS
    assert (n_tries, chat.n_asked, n_kept(database)) == (4, 1, (1, 0))
    assert stored(database, batch_id).spent_tokens == 15


def test_a_budget_in_dollars_needs_prices(database: Database) -> None:
    batch_id = make_batch(database, budget_usd=1.0)
    unpriced = CallSettings(base_url=SETTINGS.base_url)
    with pytest.raises(BudgetReached, match="prices are not known"):
        completed(paid_chat(database, batch_id, CountingChat(WORDS), settings=unpriced))


def test_nothing_is_asked_for_a_batch_that_stopped_not_even_once_more(database: Database) -> None:
    batch_id = make_batch(database)
    chat = CountingChat(WORDS)
    with pytest.raises(BatchStopped):
        completed(paid_chat(database, batch_id, chat, submission=1))
    assert chat.n_asked == 0

    async def stop_during_the_call() -> None:
        with database.writing() as session:
            session.execute(sa.update(Batch).values(status=CANCELLED))
        check = still_wanted.get()
        assert check is not None
        await check()

    with pytest.raises(BatchStopped):
        completed(paid_chat(database, batch_id, CountingChat(WORDS, during=stop_during_the_call)))
    assert still_wanted.get() is None


def test_a_server_without_log_probabilities_is_unsupported_and_paid_all_the_same(database: Database) -> None:
    batch_id = make_batch(database)
    with pytest.raises(CallFailed) as error:
        completed(paid_chat(database, batch_id, CountingChat(WORDS)), n_top_logprobs=3)
    assert error.value.failure == failures.UNSUPPORTED
    assert stored(database, batch_id).n_calls == 1


def test_answers_of_a_local_model_are_counted_and_not_kept(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=100)
    chat = CountingChat(WORDS)
    local = paid_chat(database, batch_id, chat, explainer=Explainer("local", "tiny"))
    assert completed(local).cost_usd == 0.0
    assert not completed(local).is_from_cache
    assert n_kept(database) == (0, 0)
    batch = stored(database, batch_id)
    assert (batch.spent_tokens, batch.spent_usd, batch.n_calls) == (30, 0.0, 2)


def test_other_answers_than_completions_are_paid_in_the_same_way(database: Database) -> None:
    batch_id = make_batch(database)
    calls = BatchCalls(batch_id, 0, Explainer("openai", "embedder"), SETTINGS)

    async def ask() -> dict[str, Any]:
        return {"embedding": [0.5, 0.25], "n_tokens": 3}

    async def twice() -> list[tuple[dict[str, Any], bool]]:
        settling = lambda answer: Spent(answer["n_tokens"], 0.001)  # noqa: E731
        return [await paid(database, calls, b"key", Estimate(5, 0.01), ask, settling) for _ in range(2)]

    answer = {"embedding": [0.5, 0.25], "n_tokens": 3}
    assert asyncio.run(twice()) == [(answer, False), (answer, True)]
    assert stored(database, batch_id).spent_tokens == 3
