"""How a server is asked: turns below the retries, places in flight, waits that it asks for, and no secret in a URL."""

import asyncio
import email.utils
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.batches.spending import BatchStopped
from app.errors import Unavailable
from app.explanations import failures
from app.explanations.explainers import CallSettings
from app.explanations.methods.prompt import ChatMessage
from tests.fake_openai_server import DROPPED, FakeOpenAI, Reply, completion_reply, error_reply
from worker.explaining import openai_server
from worker.explaining.chat import CallFailed, Completion, ServerRefuses, still_wanted
from worker.explaining.chat_models import ChatModels
from worker.explaining.openai_chat import OpenAIChat
from worker.explaining.openai_server import MOST_IN_VAIN, OpenAIServer, retry_after, server_url

MESSAGES = (ChatMessage("user", "Neuron 4"),)
KEY = "sk-a-key-0123456789"
GOOD = completion_reply("words", has_usage=True)
N_IN_FLIGHT = 2
LIMITED = error_reply(429, "rate_limit_exceeded", "slow down", Retry_After="0.01")
BUSY = error_reply(503, "overloaded", "busy", Retry_After="0.01")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


class CountedBlocks:
    """A rate that is always free; keeps which blocks of it were taken."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, float]] = []

    async def __call__(self, model: str, unit: str, seconds: float) -> float:
        self.taken.append((model, unit, seconds))
        return 0.0


async def complete(chat: OpenAIChat) -> Completion:
    return await chat.complete(MESSAGES, temperature=1, top_p=1, max_tokens=10, seed=None)


def asked(
    fake: FakeOpenAI, settings: dict[str, Any], *, take: CountedBlocks, n_calls: int = 1, n_chats: int = 2
) -> None:
    async def ask() -> None:
        server = OpenAIServer(CallSettings(base_url=fake.base_url), take)
        of_batch = CallSettings(base_url=fake.base_url, **settings)
        chats = [OpenAIChat("gpt-x", of_batch, server) for _ in range(n_chats)]
        await asyncio.gather(*(complete(chats[call % n_chats]) for call in range(n_calls)))
        for chat in chats:
            await chat.close()

    with fake.serving():
        asyncio.run(ask())


def test_each_further_try_takes_its_turn_too() -> None:
    fake, take = FakeOpenAI(LIMITED, DROPPED, BUSY, GOOD), CountedBlocks()
    asked(fake, {"requests_per_minute": 60}, take=take)
    assert len(fake.chats) == 4
    assert take.taken == [(f"{fake.base_url} gpt-x", "requests", 1.0)] * 4


def test_a_limit_in_tokens_counts_what_calls_turned_out_to_use() -> None:
    fake, take = FakeOpenAI(GOOD), CountedBlocks()
    asked(fake, {"tokens_per_minute": 60, "n_in_flight": 1}, take=take, n_calls=2, n_chats=1)
    # Reckoned: a word, a blank, a digit, four for the layout, and ten for the answer; counted by the server: 129.
    reckoned = 3 + 4 + 10
    assert [(unit, seconds) for _, unit, seconds in take.taken] == [
        ("tokens", pytest.approx(reckoned)),
        ("tokens", pytest.approx(129 - reckoned + reckoned)),
    ]


def test_without_a_limit_nothing_is_asked_of_the_database() -> None:
    take = CountedBlocks()
    asked(FakeOpenAI(GOOD), {}, take=take, n_calls=3)
    assert take.taken == []


def test_a_batch_has_so_many_calls_in_flight_and_waits_for_no_other_batch() -> None:
    fake = FakeOpenAI(Reply(body=GOOD.body, seconds=0.02))

    async def ask(n_small: int) -> None:
        server = OpenAIServer(CallSettings(base_url=fake.base_url))
        large, small = (
            OpenAIChat(model, CallSettings(base_url=fake.base_url, n_in_flight=n), server)
            for model, n in (("large", 4), ("small", 1))
        )
        await asyncio.gather(*(complete(large) for _ in range(40)), *(complete(small) for _ in range(n_small)))
        await large.close()
        await small.close()

    with fake.serving():
        asyncio.run(ask(0))
        assert (len(fake.chats), fake.most_running) == (40, 4)
        fake.chats.clear()
        asyncio.run(ask(3))
    assert fake.most_running == 5
    assert [chat["model"] for chat in fake.chats[:30]].count("small") == 3


@pytest.mark.parametrize("key", ["none", "1", "no-key", None])
def test_a_placeholder_of_a_key_is_no_secret(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    server = OpenAIServer(CallSettings(base_url="http://127.0.0.1:8000/v1"))
    text = "none of these 1,000 words: no-key"
    assert server.without_key(text) == text


def test_a_call_is_not_tried_again_for_a_batch_that_stopped_meanwhile() -> None:
    async def stopped() -> None:
        raise BatchStopped("cancelled")

    async def ask() -> None:
        chat = OpenAIChat("gpt-x", CallSettings(base_url=fake.base_url))
        still_wanted.set(stopped)
        try:
            await complete(chat)
        finally:
            await chat.close()

    with FakeOpenAI(LIMITED, GOOD).serving() as fake, pytest.raises(BatchStopped):
        asyncio.run(ask())
    assert len(fake.chats) == 1


def outcomes(fake: FakeOpenAI, models: Sequence[str]) -> list[str]:
    """What came of one call after the other, each of its model."""

    async def ask() -> list[str]:
        settings = CallSettings(base_url=fake.base_url, n_retries=0, n_in_flight=N_IN_FLIGHT)
        server = OpenAIServer(settings)
        chats = {model: OpenAIChat(model, settings, server) for model in dict.fromkeys(models)}
        found = [await outcome(chats[model]) for model in models]
        again = OpenAIChat(models[0], settings, server)
        found.append(await outcome(again))
        for chat in (*chats.values(), again):
            await chat.close()
        return found

    async def outcome(chat: OpenAIChat) -> str:
        try:
            return (await complete(chat)).text
        except (CallFailed, ServerRefuses) as error:
            return str(error) if isinstance(error, ServerRefuses) else error.failure

    with fake.serving():
        return asyncio.run(ask())


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (DROPPED, failures.CONNECTION),
        (error_reply(503, "overloaded", "busy"), failures.CONNECTION),
        (error_reply(429, "rate_limit_exceeded", "slow down"), failures.RATE_LIMIT),
        (error_reply(404, "model_not_found", "no gpt-x"), failures.REJECTED),
    ],
)
def test_a_server_that_fails_call_after_call_is_asked_no_more_until_a_batch_goes_on(reply: Reply, failure: str) -> None:
    most = MOST_IN_VAIN + N_IN_FLIGHT - 1
    found = outcomes(FakeOpenAI(reply), ["gpt-x"] * (most + 2))
    assert found[:most] == [failure] * most
    assert "/v1 has left 12 calls in a row without an answer: " in found[most]
    assert "/v1 has left 13 calls in a row without an answer: " in found[most + 1]
    assert found[-1] == failure


def test_failures_with_answers_between_them_or_of_several_models_are_each_their_own() -> None:
    busy = [error_reply(503, "overloaded", "busy")] * (MOST_IN_VAIN + N_IN_FLIGHT - 1)
    too_long = error_reply(400, "context_length_exceeded", "too many tokens")
    assert set(outcomes(FakeOpenAI(*busy, GOOD, *busy, too_long, busy[0]), ["gpt-x"] * (2 * len(busy) + 2))) == {
        failures.CONNECTION,
        failures.TOO_LONG,
        "words",
    }
    assert set(outcomes(FakeOpenAI(*busy * 2), ["gpt-x", "gpt-y"] * len(busy))) == {failures.CONNECTION}


@pytest.mark.parametrize("status", [400, 403])
def test_what_a_filter_withholds_says_nothing_of_other_calls(status: int) -> None:
    filtered = error_reply(status, "content_filter", "your input was flagged by moderation")
    n = MOST_IN_VAIN + N_IN_FLIGHT + 3
    assert outcomes(FakeOpenAI(filtered), ["gpt-x"] * n) == [failures.REJECTED] * (n + 1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("7", 7.0), ("0.25", 0.25), (email.utils.formatdate(1060.0, usegmt=True), 60.0), ("soon", None)],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=1000.0) == seconds


@pytest.mark.parametrize(
    ("status", "told", "waits"),
    [(429, "300", True), (503, "300", True), (429, "5", False), (429, "90000", False), (200, "300", False)],
)
def test_a_wait_that_the_client_would_not_keep_is_kept_here(status: int, told: str, waits: bool) -> None:
    response = SimpleNamespace(status_code=status, headers={"retry-after": told}, content=b"")
    slept = run_without_sleeping(openai_server._wait_as_told(response))
    assert slept == ([float(told)] if waits else [])
    assert response.headers["retry-after"] == ("0.001" if waits else told)


def run_without_sleeping(work: Any) -> Sequence[float]:
    """Runs a coroutine in a loop whose timers fire at once; returns how long it wanted to sleep."""
    loop, slept = asyncio.new_event_loop(), []
    call_later = loop.call_later

    def at_once(delay: float, *arguments: Any, **options: Any) -> Any:
        slept.append(delay)
        return call_later(0, *arguments, **options)

    loop.call_later = at_once  # type: ignore[method-assign]
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
    return slept


@pytest.mark.parametrize(
    "url",
    ["https://ada:secret@llm.example.org/v1", "https://llm.example.org/v1?key=secret", f"https://x.org/{KEY}/v1"],
)
def test_a_url_with_a_secret_in_it_is_refused_without_repeating_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(Unavailable, match="a user, a password, a query or the key in it") as error:
        server_url(CallSettings())
    assert "secret" not in str(error.value)
    assert KEY not in str(error.value)


def test_a_server_is_known_by_its_url_and_shared_by_all_batches(tmp_path: Any) -> None:
    assert server_url(CallSettings()) == "https://api.openai.com/v1"
    models = ChatModels(tmp_path)
    one = models.server_for(CallSettings(base_url="http://127.0.0.1:9/v1/"))
    assert models.server_for(CallSettings(base_url="http://127.0.0.1:9/v1", n_in_flight=2)) is one
    assert models.server_for(CallSettings()) is not one
