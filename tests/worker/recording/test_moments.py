"""Moments joined from stretches of a corpus: the same bits wherever the cuts were."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from worker.recording.moments import BlockSums, Node, append, finished
from worker.recording.plan import BLOCK

Array = npt.NDArray[Any]


def sums_of(excerpts: Array, origin: Array) -> Array:
    """(5, excerpts, neurons) of activations (excerpts, tokens, neurons)."""
    distances = excerpts - origin
    powers = [excerpts > 0, distances, distances**2, distances**3, distances**4]
    return np.stack([power.sum(axis=1, dtype=np.float32) for power in powers])


def nodes_of(activations: Array, cuts: list[int]) -> list[Node]:
    """cuts: numbers of blocks at which what is there is taken out and a new run begins."""
    n_excerpts, n_tokens, n_neurons = activations.shape
    nodes: list[Node] = []
    stops = [*(cut * BLOCK for cut in cuts), n_excerpts]
    for begin, end in zip([0, *stops[:-1]], stops, strict=True):
        sums = BlockSums(n_neurons, n_excerpts, n_tokens)
        for first in range(begin, end, BLOCK):
            block = activations[first : min(first + BLOCK, end)]
            origins = sums.origins(first, len(block), lambda excerpt, block=block: block[excerpt, 0])
            sums.add(first, origins, sums_of(block, origins[0]))
        for node in sums.taken():
            append(nodes, node)
    return nodes


@given(n_excerpts=st.integers(1, 300), cuts=st.sets(st.integers(0, 40), max_size=6))
def test_a_corpus_in_stretches_has_the_moments_of_the_whole(n_excerpts: int, cuts: set[int]) -> None:
    activations = np.random.default_rng(n_excerpts).standard_normal((n_excerpts, 3, 2)).astype(np.float32)
    within = sorted(cut for cut in cuts if cut * BLOCK < n_excerpts)

    whole, joined = nodes_of(activations, []), nodes_of(activations, within)

    assert [(node.level, node.index, node.n_tokens) for node in joined] == [
        (node.level, node.index, node.n_tokens) for node in whole
    ]
    assert sum(node.n_tokens for node in whole) == n_excerpts * 3
    for name, values in finished(whole).items():
        assert np.array_equal(values, finished(joined)[name], equal_nan=True), name


def test_nodes_are_as_few_as_they_can_be() -> None:
    activations = np.ones((13 * BLOCK, 2, 1), dtype=np.float32)

    assert [(node.level, node.index) for node in nodes_of(activations, [3, 6])] == [(3, 0), (2, 2), (0, 12)]


def test_a_neuron_that_does_not_vary_has_no_skewness_and_no_kurtosis() -> None:
    moments = finished(nodes_of(np.full((30, 4, 1), 0.1, dtype=np.float32), []))

    assert moments["variance"].tolist() == [0.0]
    assert np.isnan(moments["skewness"]).all()
    assert np.isnan(moments["kurtosis"]).all()


def test_a_neuron_too_faint_for_its_fourth_powers_has_no_kurtosis_rather_than_a_wrong_one() -> None:
    faint = np.random.default_rng(0).standard_normal((30, 4, 1)).astype(np.float32) * np.float32(1e-12)

    moments = finished(nodes_of(faint, []))

    assert moments["variance"][0] > 0
    assert np.isnan(moments["kurtosis"]).all()
    assert np.isnan(moments["skewness"]).all()
