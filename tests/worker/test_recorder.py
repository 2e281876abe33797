"""What the recorder keeps, against a brute-force computation in numpy over all activations at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch

from app.errors import InvalidInput
from app.neurons.storing import LayerRecording
from tests.worker.conftest import MakeModel
from worker.recorder import record
from worker.reducers import LARGEST_FLOAT16, Panel, drawn_excerpts
from worker.subject import load_subject

Array = npt.NDArray[Any]
BATCH_SIZES = (1, 3, 16, 50, 64)


class DenseModel:
    """A model whose activations are given, shape (layers, excerpts, tokens, neurons); an excerpt is its first token."""

    device = torch.device("cpu")

    def __init__(self, activations: Array):
        self._activations = torch.from_numpy(activations.astype(np.float32))
        self.n_layers, _, self.n_tokens, self.n_neurons_per_layer = activations.shape
        self._observe: Callable[[int, torch.Tensor], None] | None = None

    @contextmanager
    def observing(self, observe: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
        self._observe = observe
        yield

    def forward(self, token_ids: Array) -> None:
        assert self._observe is not None
        for layer in range(self.n_layers):
            # The copy is overwritten after the call, as a model is free to do with its memory.
            batch = self._activations[layer][torch.from_numpy(token_ids[:, 0]).long()].clone()
            self._observe(layer, batch)
            batch.fill_(torch.nan)


def recorded(activations: Array, batch_size: int, seed: int = 0) -> list[LayerRecording]:
    _, n_excerpts, n_tokens, _ = activations.shape
    token_ids = np.repeat(np.arange(n_excerpts, dtype=np.int32)[:, None], n_tokens, axis=1)
    recorder = record(
        DenseModel(activations), token_ids, seed=seed, batch_size=batch_size, progress=lambda n_seen: None
    )
    return list(recorder.layers())


def as_float16(activations: Array) -> Array:
    return np.clip(activations, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)


def check_against_brute_force(layer: LayerRecording, activations: Array) -> None:
    """activations: all of this layer's, shape (excerpts, tokens, neurons)."""
    n_excerpts, _, n_neurons = activations.shape
    stored = as_float16(activations)
    maxima = stored.max(axis=1)
    for neuron in range(n_neurons):
        best = np.lexsort((np.arange(n_excerpts), -maxima[:, neuron].astype(np.float64)))[:20]
        assert layer.top.excerpts[neuron].tolist() == best.tolist()
        assert np.array_equal(layer.top.activations[neuron], stored[best, :, neuron])
        drawn = layer.random.excerpts[neuron]
        assert len(set(drawn.tolist())) == len(drawn) == min(10, n_excerpts)
        assert np.array_equal(layer.random.activations[neuron], stored[drawn, :, neuron])
    assert np.array_equal(layer.maximum, maxima.max(axis=0))
    assert np.array_equal(layer.q90, np.quantile(maxima.astype(np.float64), 0.9, axis=0))
    tokens = activations.reshape(-1, n_neurons).astype(np.float64)
    np.testing.assert_allclose(layer.mean, tokens.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(layer.variance, tokens.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.skewness, scipy.stats.skew(tokens), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer.kurtosis, scipy.stats.kurtosis(tokens, fisher=False), rtol=1e-3)
    np.testing.assert_allclose(layer.share_active, (tokens > 0).mean(axis=0), rtol=1e-12)


def some_activations(n_excerpts: int = 50, n_neurons: int = 12) -> Array:
    """Two layers; heavy tails, one neuron shifted far from 0, one always negative, one beyond float16."""
    activations = np.random.default_rng(0).standard_normal((2, n_excerpts, 8, n_neurons)) ** 3
    activations[..., 0] += 1000
    activations[..., 1] = -np.abs(activations[..., 1])
    activations[..., 2] *= 1e5
    return activations.astype(np.float32)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_a_recording_equals_the_brute_force_computation(batch_size: int) -> None:
    activations = some_activations()

    for layer, of_layer in zip(recorded(activations, batch_size), activations, strict=True):
        check_against_brute_force(layer, of_layer)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_ties_are_broken_by_the_earlier_excerpt_whatever_the_batch_size(batch_size: int) -> None:
    # Four values only, over more excerpts than are kept: nearly every choice is a tie.
    activations = np.random.default_rng(1).integers(0, 4, (1, 50, 2, 6)) + 0.25

    layer = recorded(activations, batch_size)[0]

    check_against_brute_force(layer, activations[0])


def test_values_that_become_equal_when_stored_are_ties() -> None:
    # 2048 and 2049 - 2**-7 are the same float16, so the first excerpt is the better one, not the last.
    activations = np.full((1, 30, 1, 1), 2048.0)
    activations[0, 29] += 1 - 2**-7

    layer = recorded(activations, batch_size=16)[0]

    assert layer.top.excerpts[0].tolist() == list(range(20))


@pytest.mark.parametrize("n_excerpts", [1, 5, 10, 19, 20, 21])
def test_few_excerpts_give_as_many_records_as_there_are(n_excerpts: int) -> None:
    activations = some_activations(n_excerpts)

    for layer, of_layer in zip(recorded(activations, batch_size=4), activations, strict=True):
        check_against_brute_force(layer, of_layer)
        assert layer.top.excerpts.shape == (12, min(20, n_excerpts))


def test_a_neuron_that_does_not_vary_has_no_skewness_and_no_kurtosis() -> None:
    layer = recorded(np.full((1, 30, 4, 1), 0.1), batch_size=16)[0]

    assert layer.variance.tolist() == [0.0]
    assert np.isnan(layer.skewness).all()
    assert np.isnan(layer.kurtosis).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(value: float) -> None:
    activations = some_activations()
    activations[1, 30, 3, 5] = value

    with pytest.raises(InvalidInput, match="activations in layer 1 are not all finite numbers"):
        recorded(activations, batch_size=16)


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
@pytest.mark.parametrize("batch_size", [1, 5, 30])
def test_a_real_model_is_recorded_as_the_brute_force_computation_says(
    model_type: str, batch_size: int, tiny_model: MakeModel
) -> None:
    subject = load_subject(tiny_model(model_type), n_tokens=64, n_threads=1)
    token_ids = np.random.default_rng(2).integers(0, 300, (30, 64)).astype(np.int32)
    dense: list[list[Array]] = [[] for _ in range(subject.n_layers)]
    with subject.observing(lambda layer, activations: dense[layer].append(activations.numpy().copy())):
        for first in range(0, 30, batch_size):
            subject.forward(token_ids[first : first + batch_size])
    seen: list[int] = []

    recorder = record(subject, token_ids, seed=3, batch_size=batch_size, progress=seen.append)

    for layer, of_layer in zip(recorder.layers(), dense, strict=True):
        check_against_brute_force(layer, np.concatenate(of_layer))
    assert seen == [*range(batch_size, 30, batch_size), 30]


def test_random_excerpts_depend_on_seed_and_layer_alone() -> None:
    draws = [drawn_excerpts(100, 500, 10, seed=seed, layer=layer) for seed, layer in [(0, 0), (0, 0), (1, 0), (0, 1)]]

    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[3])


def test_every_excerpt_is_drawn_equally_often_at_every_rank() -> None:
    n_neurons, n_excerpts = 60_000, 12

    drawn = drawn_excerpts(n_neurons, n_excerpts, 10, seed=0, layer=0)

    assert all(len(set(row)) == 10 for row in drawn[:1000].tolist())
    for rank in range(10):
        counts = np.bincount(drawn[:, rank], minlength=n_excerpts)
        assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_a_large_corpus_has_its_quantile_from_a_seeded_draw_of_excerpts() -> None:
    maxima = np.random.default_rng(4).standard_normal((1000, 3)).astype(np.float16)

    panel = Panel(3, n_excerpts=1000, seed=0, n_kept=400)
    for first in range(0, 1000, 16):
        panel.add(first, torch.from_numpy(maxima[first : first + 16]))

    kept = np.sort(np.argsort(np.random.PCG64(0).random_raw(1000), kind="stable")[:400])
    expected = np.quantile(maxima[kept].astype(np.float64), 0.9, axis=0)
    assert np.array_equal(panel.quantile(0.9), expected)
    # The draw stands for the whole: its boundary has about a tenth of all excerpts above it.
    assert np.abs((maxima > expected).mean(axis=0) - 0.1).max() < 0.05
