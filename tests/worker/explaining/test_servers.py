"""Real servers of OpenAI's format on this machine, each with the bundled model: one neuron is explained by each."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.explanations import failures
from app.explanations.explainers import CallSettings
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ChatMessage
from app.explanations.methods.skeleton import build_prompt
from app.explanations.prompt_packs.loading import load_pack
from tests.explanations import golden_prompts
from worker.explaining.chat import CallFailed, Completion
from worker.explaining.explainer import judged
from worker.explaining.openai_chat import OpenAIChat
from worker.subjects.model_files import BUNDLED, find_model

pytestmark = pytest.mark.real_model
MOST_SECONDS_TO_START = 60
LLAMA_CPP = """
import signal, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 2048, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
signal.pause()
"""


def neuron_prompt() -> tuple[ChatMessage, ...]:
    return tuple(build_prompt(PROMPT_METHODS["summary"], load_pack("default"), golden_prompts.SHOWN))


def completed(url: str, model: str, messages: tuple[ChatMessage, ...], n_top_logprobs: int | None = None) -> Completion:
    async def complete() -> Completion:
        chat = OpenAIChat(model, CallSettings(base_url=url, n_retries=0))
        try:
            await chat.check()
            return await chat.complete(
                messages, temperature=0.0, top_p=1.0, max_tokens=20, seed=1, n_top_logprobs=n_top_logprobs
            )
        finally:
            await chat.close()

    return asyncio.run(complete())


@contextmanager
def serving(*command: str, port: int) -> Iterator[str]:
    """A server process, ready to answer; the URL of its interface."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    give_up_at = time.monotonic() + MOST_SECONDS_TO_START
    while time.monotonic() < give_up_at:
        assert process.poll() is None, "the server ended by itself"
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError("the server did not answer in time")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_llama_cpp_explains_with_log_probabilities_and_says_when_a_prompt_is_too_long() -> None:
    port = free_port()
    with serving("-c", LLAMA_CPP, str(find_model(BUNDLED).path), str(port), port=port) as url:
        completion = completed(url, BUNDLED, neuron_prompt(), n_top_logprobs=5)
        with pytest.raises(CallFailed) as too_long:
            completed(url, BUNDLED, (ChatMessage("user", "one word after another " * 1000),))
    assert judged(completion).n_prompt_tokens
    assert completion.top_logprobs is not None
    assert len(completion.top_logprobs) == completion.n_completion_tokens
    # What it wrote at temperature 0 is the likeliest at each place.
    likeliest = "".join(max(place, key=lambda text: place[text]) for place in completion.top_logprobs)
    assert likeliest.startswith(completion.text)
    assert all(value <= 0 for place in completion.top_logprobs for value in place.values())
    assert too_long.value.failure == failures.TOO_LONG


def test_transformers_serve_explains_and_gives_no_log_probabilities(bundled_folder: Path) -> None:
    port = free_port()
    command = ["-m", "transformers.cli.transformers", "serve", str(bundled_folder), "--device", "cpu"]
    with serving(*command, "--port", str(port), "--host", "127.0.0.1", port=port) as url:
        completion = completed(url, str(bundled_folder), neuron_prompt(), n_top_logprobs=5)
    assert judged(completion).text
    assert completion.n_prompt_tokens is not None
    assert completion.n_prompt_tokens > 500
    assert completion.top_logprobs is None
