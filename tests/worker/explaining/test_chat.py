"""The client of OpenAI's format, against a real server on localhost that misbehaves."""

import asyncio
import time
from typing import Any

import pytest

from app.errors import ExplainerUnreachable, Unavailable
from app.explanations import failures
from app.explanations.explainers import ExplainerSettings
from app.explanations.methods.prompt import ChatMessage
from tests.fake_openai_server import DROPPED, FakeOpenAI, Reply, completion_reply, error_reply
from worker.explaining.chat import CallFailed, Completion, ServerRefuses
from worker.explaining.openai_chat import OpenAIChat

MESSAGES = (ChatMessage("system", "Explain."), ChatMessage("user", "Neuron 4"))
KEY = "sk-test-key-that-must-not-leak"
GOOD = completion_reply(" words about cats.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


async def ask(fake: FakeOpenAI, seed: int | None = None, **settings: Any) -> Completion:
    chat = OpenAIChat("gpt-x", ExplainerSettings(base_url=fake.base_url, **settings))
    try:
        return await chat.complete(MESSAGES, temperature=0.5, top_p=0.9, max_tokens=60, seed=seed)
    finally:
        await chat.close()


def asked(fake: FakeOpenAI, **settings: Any) -> Completion:
    with fake.serving():
        return asyncio.run(ask(fake, **settings))


def failure(fake: FakeOpenAI, **settings: Any) -> CallFailed:
    with pytest.raises(CallFailed) as error:
        asked(fake, **settings)
    return error.value


def test_sends_the_chat_and_reads_the_completion() -> None:
    fake = FakeOpenAI(GOOD)
    assert asked(fake) == Completion(" words about cats.", 120, 9, "stop")
    assert fake.chats == [
        {
            "model": "gpt-x",
            "messages": [{"role": "system", "content": "Explain."}, {"role": "user", "content": "Neuron 4"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 60,
        }
    ]
    assert fake.keys == [f"Bearer {KEY}"]


def test_sends_a_seed_when_there_is_one() -> None:
    fake = FakeOpenAI(GOOD)
    with fake.serving():
        asyncio.run(ask(fake, seed=7))
    assert fake.chats[0]["seed"] == 7


def test_waits_as_long_as_a_rate_limit_says_and_tries_again() -> None:
    fake = FakeOpenAI(error_reply(429, "rate_limit_exceeded", "slow down", Retry_After="0.6"), GOOD)
    started = time.perf_counter()
    assert asked(fake).text == " words about cats."
    assert time.perf_counter() - started >= 0.6
    assert len(fake.chats) == 2


@pytest.mark.parametrize("bad", [DROPPED, error_reply(503, "overloaded", "busy", Retry_After="0.01")])
def test_tries_again_after_a_lost_connection_or_a_broken_server(bad: Reply) -> None:
    assert asked(FakeOpenAI(bad, GOOD)).text == " words about cats."


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error_reply(429, "rate_limit_exceeded", "slow down", Retry_After="0.01"), failures.RATE_LIMIT),
        (error_reply(503, "overloaded", "busy", Retry_After="0.01"), failures.CONNECTION),
        (DROPPED, failures.CONNECTION),
        (Reply(seconds=0.5), failures.CONNECTION),
        (error_reply(403, "forbidden", "your input was flagged by moderation"), failures.REJECTED),
        (error_reply(404, "model_not_found", "no gpt-x"), failures.REJECTED),
        (error_reply(400, "context_length_exceeded", "too many tokens"), failures.TOO_LONG),
    ],
)
def test_what_no_retry_mends_is_a_failure_with_its_reason(reply: Reply, reason: str) -> None:
    assert failure(FakeOpenAI(reply), n_retries=1, timeout_seconds=0.2).failure == reason


def test_a_server_that_is_not_there_is_a_connection_failure() -> None:
    with FakeOpenAI(GOOD).serving() as fake:
        pass
    with pytest.raises(CallFailed) as error:
        asyncio.run(ask(fake, n_retries=0))
    assert error.value.failure == failures.CONNECTION


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (error_reply(401, "invalid_api_key", f"{KEY} is wrong"), "refuses the key in OPENAI_API_KEY: .*(key) is wrong"),
        (error_reply(403, "forbidden", "not from there"), "refuses the key in OPENAI_API_KEY: .*not from there"),
        (error_reply(402, "no_credits", "pay"), "says that the account is used up: .*pay"),
        (error_reply(429, "insufficient_quota", "pay", Retry_After="0.01"), "says that the account is used up: .*pay"),
    ],
)
def test_a_server_that_refuses_everything_is_asked_once_and_is_no_failure_of_one_call(
    reply: Reply, sentence: str
) -> None:
    fake = FakeOpenAI(reply)
    expected = f"the server at http://127.0.0.1:[0-9]+/v1 {sentence.replace('(key)', '[(]key[)]')}"
    with pytest.raises(ServerRefuses, match=expected) as error:
        asked(fake, n_retries=3)
    assert KEY not in str(error.value)
    assert len(fake.chats) == 1


def test_a_key_that_the_server_repeats_is_not_kept() -> None:
    failed = failure(FakeOpenAI(error_reply(404, "model_not_found", f"no model for {KEY}")))
    assert KEY not in failed.detail
    assert "no model for (key)" in failed.detail
    reply = completion_reply(f"words of {KEY}.", finish_reason=KEY, refusal=f"Not for {KEY}.", logprobs={KEY: -0.5})
    assert asked(FakeOpenAI(reply)) == Completion(
        "words of (key).", 120, 9, "(key)", "Not for (key).", ({"(key)": -0.5},)
    )


def test_reads_refusals_cut_offs_and_answers_without_usage_or_choices() -> None:
    assert asked(FakeOpenAI(completion_reply(None, refusal="I won't."))).refusal == "I won't."
    assert asked(FakeOpenAI(completion_reply("", finish_reason="content_filter"))).finish_reason == "content_filter"
    assert asked(FakeOpenAI(completion_reply("words", finish_reason="length"))).finish_reason == "length"
    without_usage = asked(FakeOpenAI(completion_reply("words", has_usage=False)))
    assert (without_usage.n_prompt_tokens, without_usage.n_completion_tokens) == (None, None)
    empty = Reply(body={"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": []})
    assert asked(FakeOpenAI(empty)).text == ""


def test_models_that_refuse_max_tokens_are_asked_by_its_successor() -> None:
    refusal = error_reply(400, "unsupported_parameter", "Use 'max_completion_tokens' instead of 'max_tokens'.")
    fake = FakeOpenAI(refusal, GOOD)
    assert asked(fake).text == " words about cats."
    assert "max_tokens" not in fake.chats[1]
    assert fake.chats[1]["max_completion_tokens"] == 60


def test_without_a_key_only_a_server_of_ones_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(Unavailable, match="no key: set OPENAI_API_KEY"):
        OpenAIChat("gpt-x", ExplainerSettings())
    fake = FakeOpenAI(GOOD)
    assert asked(fake).text == " words about cats."
    assert fake.keys == ["Bearer no-key"]


def test_the_base_url_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        chat = OpenAIChat("gpt-x", ExplainerSettings())
        await chat.check()
        await chat.close()

    with FakeOpenAI(GOOD).serving() as fake:
        monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
        asyncio.run(check())
    assert fake.keys == [f"Bearer {KEY}"]


async def check(fake: FakeOpenAI) -> None:
    chat = OpenAIChat("gpt-x", ExplainerSettings(base_url=fake.base_url))
    try:
        await chat.check()
    finally:
        await chat.close()


def test_checking_an_explainer_that_is_not_there_or_refuses_the_key() -> None:
    fake = FakeOpenAI(models=error_reply(401, "invalid_api_key", "who"))
    with fake.serving(), pytest.raises(Unavailable, match="refuses the key in OPENAI_API_KEY"):
        asyncio.run(check(fake))
    with pytest.raises(ExplainerUnreachable, match=r"the explainer at http://127.0.0.1:\d+/v1 cannot be reached"):
        asyncio.run(check(fake))


def test_a_server_without_a_list_of_models_will_do() -> None:
    with FakeOpenAI(models=error_reply(404, "not_found", "no such page")).serving() as fake:
        asyncio.run(check(fake))
