"""Counting tokens by what is here, without ever asking the network."""

import base64
import hashlib
import inspect
from pathlib import Path

import pytest

from app.explanations import token_counting
from app.explanations.explainers import Explainer
from app.explanations.methods.prompt import ChatMessage
from app.explanations.token_counting import ENCODING_FILES, counter_for, estimated_tokens
from tests.worker.explaining.tiny_model import tiny_tokenizer

MESSAGES = (ChatMessage("system", "Explain."), ChatMessage("user", "Neuron 4: größer"))
GPT_4 = Explainer("openai", "gpt-4")


@pytest.mark.parametrize(
    ("text", "n_tokens"), [("", 0), ("The cat sat.", 4), ("\tinternationalisation", 4), ("12345", 2), ("猫", 2)]
)
def test_estimated_tokens(text: str, n_tokens: int) -> None:
    assert estimated_tokens(text) == n_tokens


def test_a_local_model_counts_with_its_own_tokenizer(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    counter = counter_for(Explainer("local", "tiny"), tmp_path)
    assert counter.name == "the model's own tokenizer"
    # One token per byte.
    assert counter.n_tokens(MESSAGES) == 8 + 18 + 2 * 4
    assert counter.n_tokens_at_most(MESSAGES) == 8 + 18 + 2 * 32


@pytest.mark.parametrize("explainer", [Explainer("local", "tiny"), Explainer("openai", "a-model-of-my-own"), GPT_4])
def test_without_a_tokenizer_tokens_are_estimated_and_bounded_by_bytes(
    explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = counter_for(explainer, tmp_path)
    assert counter.name == "an estimate"
    assert counter.n_tokens(MESSAGES) == sum(4 + estimated_tokens(message.content) for message in MESSAGES)
    assert counter.n_tokens_at_most(MESSAGES) == 8 + 18 + 2 * 32


def test_a_file_of_tiktoken_that_is_here_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An encoding of single bytes in the place of the real one, which is not ours to carry along.
    content = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    url, _ = ENCODING_FILES["cl100k_base"]
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    # Its hash is not the one of tiktoken's file, which tiktoken would download again.
    assert counter_for(GPT_4).name == "an estimate"


def test_a_cache_that_is_switched_off_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert counter_for(GPT_4).name == "an estimate"


@pytest.mark.parametrize("name", ["cl100k_base", "o200k_base"])
def test_the_files_are_those_that_tiktoken_would_download(name: str) -> None:
    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public.ENCODING_CONSTRUCTORS[name])
    assert all(part in source for part in ENCODING_FILES[name])
    assert ENCODING_FILES["o200k_harmony"] == ENCODING_FILES["o200k_base"]


def test_with_its_file_here_tiktoken_counts_itself() -> None:
    encoding = token_counting._loaded_encoding("cl100k_base", token_counting._tiktoken_folder())
    if encoding is None:
        pytest.skip("no file of tiktoken's encoding cl100k_base on this machine")
    counter = counter_for(GPT_4)
    assert counter.name == "tiktoken cl100k_base"
    assert counter.n_tokens((ChatMessage("user", "The cat sat on the mat."),)) == 7 + 4
