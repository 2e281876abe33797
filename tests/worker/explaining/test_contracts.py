"""Servers that cannot run here, by the contracts in tests/contracts: what they answer and what is made of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.explanations.explainers import CallSettings
from app.explanations.methods.prompt import ChatMessage
from tests.fake_openai_server import FakeOpenAI, Reply
from worker.explaining.chat import CallFailed, Completion, ServerRefuses
from worker.explaining.explainer import judged
from worker.explaining.openai_chat import OpenAIChat

FOLDER = Path(__file__).parents[2] / "contracts"
CONTRACTS = [json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))]
CASES = [
    pytest.param(contract["model"], case, id=f"{contract['server']}: {case['name']}")
    for contract in CONTRACTS
    for case in contract["cases"]
]
MESSAGES = (ChatMessage("system", "Explain."), ChatMessage("user", "Neuron 4"))


async def answered(model: str, url: str, n_top_logprobs: int | None) -> Completion | CallFailed | ServerRefuses:
    chat = OpenAIChat(model, CallSettings(base_url=url, n_retries=1))
    try:
        return await chat.complete(
            MESSAGES, temperature=0.5, top_p=0.9, max_tokens=60, seed=7, n_top_logprobs=n_top_logprobs
        )
    except (CallFailed, ServerRefuses) as failed:
        return failed
    finally:
        await chat.close()


@pytest.mark.parametrize(("model", "case"), CASES)
def test_a_server_is_understood_as_it_is_documented(
    model: str, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    expected = case["expected"]
    replies = [Reply(reply["status"], reply["body"], reply["headers"]) for reply in case["exchanges"]]
    fake = FakeOpenAI(*replies)
    with fake.serving():
        answer = asyncio.run(answered(model, fake.base_url, expected.get("n_top_logprobs")))
    assert len(fake.chats) == expected["n_requests"]
    if "is_refusing_all" in expected:
        assert isinstance(answer, ServerRefuses)
        return
    if "failure" in expected:
        assert isinstance(answer, CallFailed)
        assert answer.failure == expected["failure"]
        return
    assert isinstance(answer, Completion)
    assert (answer.text, answer.refusal) == (expected["text"], expected.get("refusal"))
    assert answer.remark == expected.get("remark")
    assert [answer.n_prompt_tokens, answer.n_completion_tokens] == expected.get("tokens", [120, 9])
    assert (answer.top_logprobs and list(answer.top_logprobs)) == expected.get("top_logprobs")
    if "refusal" in expected or "judged" in expected:
        assert judged(answer).failure == expected.get("judged", "refusal")
    asked = {"model", "messages", "temperature", "top_p", "seed", "max_tokens"}
    if "last_asked" in expected:
        assert fake.chats[-1].items() >= expected["last_asked"].items()
        asked = {"model", "messages", *expected["last_asked"]}
    assert set(fake.chats[-1]) - {"logprobs", "top_logprobs"} == asked
