"""AdaCS on vectors that are known."""

import asyncio

import numpy as np
import pytest

from app.explanations.scoring.evidence import Reference
from worker.scoring.adacs import adacs, cosine
from worker.scoring.calls import Spent
from worker.scoring.embedders import Embedding

REFERENCE = Reference("openai:gpt-4", "felines")


class KnownVectors:
    n_in_flight = 1

    def __init__(self, **vectors: list[float]):
        self._vectors = vectors
        self.asked: list[str] = []

    async def embed(self, text: str, *, attempt: int) -> Embedding:
        self.asked.append(text)
        return Embedding(np.array(self._vectors[text], dtype=np.float32), Spent(3, 0, 0.25))

    async def close(self) -> None:
        pass


def test_it_is_the_cosine_and_says_what_was_compared_with() -> None:
    embedder = KnownVectors(cats=[3, 4], felines=[4, 3])
    result = asyncio.run(adacs(embedder, "cats", REFERENCE, attempt=0))
    assert result.value == pytest.approx(24 / 25)
    assert result.details == {"reference": "felines", "reference_explainer": "openai:gpt-4"}
    assert (result.n_prompt_tokens, result.n_completion_tokens, result.cost_usd) == (6, 0, 0.5)


def test_without_a_reference_it_is_undefined_and_costs_nothing() -> None:
    embedder = KnownVectors()
    result = asyncio.run(adacs(embedder, "cats", None, attempt=0))
    assert (result.value, result.reason) == (None, "no reference explanation of this neuron is stored")
    assert embedder.asked == []
    assert result.cost_usd == 0.0


def test_a_vector_without_length_is_undefined() -> None:
    result = asyncio.run(adacs(KnownVectors(cats=[0, 0], felines=[4, 3]), "cats", REFERENCE, attempt=0))
    assert (result.value, result.reason) == (None, "an embedding is all zeros")


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e15])
def test_lengths_do_not_count_and_rounding_never_leads_beyond_1(scale: float) -> None:
    vector = np.random.default_rng(1).normal(size=384).astype(np.float32)
    other = (vector * np.float32(scale)).astype(np.float32)
    value = cosine(vector, other)
    assert value == pytest.approx(1.0, abs=1e-6)
    assert value is not None
    assert value <= 1.0
    assert cosine(vector, -other) == pytest.approx(-1.0, abs=1e-6)
