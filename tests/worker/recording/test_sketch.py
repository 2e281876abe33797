"""The draws above any value: the same as sorting all keys, even, and no larger than they should be."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.recording.brute_force import mixed
from worker.recording.drawing import excerpt_keys, neuron_keys
from worker.recording.selection import drawn_among, key_of
from worker.recording.sketch import Sketch

Array = npt.NDArray[Any]


def taken_from(values: Array, n_drawn: int, seed: int, cuts: list[int], batch_size: int) -> dict[str, Array]:
    """All that a sketch hands over of values (excerpts, neurons), when it is emptied at each of the cuts."""
    n_excerpts, n_neurons = values.shape
    sketch = Sketch(n_neurons, n_drawn, 1, excerpt_keys(n_excerpts, seed=seed), seed=seed, layer=0)
    taken = []
    for begin, end in zip([0, *cuts], [*cuts, n_excerpts], strict=True):
        for first in range(begin, end, batch_size):
            batch = values[first : min(first + batch_size, end)]
            candidates = sketch.candidates(batch, first)
            sketch.put(batch[candidates[0], candidates[1], None].astype(np.float16))
        taken.append(sketch.taken())
    return {name: np.concatenate([entries[name] for entries in taken]) for name in taken[0]}


def draws_above(values: Array, keys: list[int], threshold: float, n_drawn: int) -> set[int]:
    """By definition: of all excerpts at or above a value those with the smallest keys."""
    above = [e for e in range(len(values)) if values[e] >= threshold]
    ranked = sorted(above, key=lambda e: (keys[e], -values[e], e))
    return set(ranked[:n_drawn])


@given(
    seed=st.integers(0, 2**32),
    n_excerpts=st.integers(1, 60),
    n_values=st.integers(1, 60),
    n_drawn=st.integers(1, 9),
    cuts=st.sets(st.integers(1, 60), max_size=3),
    batch_size=st.integers(1, 40),
)
def test_the_draws_above_every_value_are_there(
    seed: int, n_excerpts: int, n_values: int, n_drawn: int, cuts: set[int], batch_size: int
) -> None:
    values = np.random.default_rng(seed).integers(0, n_values, (n_excerpts, 2)).astype(np.float32)
    taken = taken_from(values, n_drawn, seed, sorted(cut for cut in cuts if cut < n_excerpts), batch_size)

    for neuron in range(2):
        of_neuron = int(neuron_keys(2, seed=seed, layer=0)[neuron])
        keys = [mixed(int(key) ^ of_neuron) for key in excerpt_keys(n_excerpts, seed=seed)]
        kept = set(taken["excerpt"][taken["neuron"] == neuron].tolist())
        for threshold in set(values[:, neuron].tolist()):
            assert draws_above(values[:, neuron], keys, threshold, n_drawn) <= kept
    # What is kept beside an excerpt is its own value, key and activations.
    assert np.array_equal(taken["value"], values[taken["excerpt"], taken["neuron"]])
    assert np.array_equal(taken["activations"][:, 0], taken["value"].astype(np.float16))
    own = neuron_keys(2, seed=seed, layer=0)[taken["neuron"]] ^ excerpt_keys(n_excerpts, seed=seed)[taken["excerpt"]]
    assert [int(key) for key in taken["key"]] == [mixed(int(key)) for key in own]


def test_a_sketch_in_one_run_holds_as_many_as_it_should() -> None:
    n_excerpts, n_drawn = 2000, 8
    values = np.random.default_rng(0).standard_normal((n_excerpts, 300)).astype(np.float32)

    taken = taken_from(values, n_drawn, 1, [], 64)

    expected = sum(min(1, n_drawn / rank) for rank in range(1, n_excerpts + 1))
    assert len(taken["neuron"]) / 300 == pytest.approx(expected, rel=0.02)
    assert expected == pytest.approx(n_drawn * (1 + math.log(n_excerpts / n_drawn)), rel=0.02)


def test_every_excerpt_of_a_band_is_drawn_equally_often() -> None:
    n_excerpts, n_neurons, n_drawn = 40, 20_000, 4
    # The same values for every neuron: only the keys differ.
    values = np.tile(np.arange(n_excerpts, dtype=np.float32)[:, None], n_neurons)
    taken = taken_from(values, n_drawn, 3, [], 16)
    order = np.lexsort((taken["excerpt"], -taken["value"], taken["neuron"]))
    starts = np.searchsorted(taken["neuron"][order], np.arange(n_neurons + 1))
    boundaries = np.tile([30.0, 10.0, -np.inf], (n_neurons, 1))
    chosen = np.empty((n_neurons, 3, n_drawn), dtype=np.int64)

    drawn_among(taken["value"][order], taken["key"][order], starts, boundaries, n_drawn, chosen)

    for band, lowest in enumerate((30, 10, 0)):
        counts = np.bincount(taken["excerpt"][order][chosen[:, band].ravel()], minlength=n_excerpts)[lowest:]
        assert counts.sum() == n_neurons * n_drawn
        assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_keys_are_mixed_as_in_whole_numbers() -> None:
    drawn = np.random.default_rng(0).integers(0, 2**32, (1000, 2), dtype=np.uint32)

    assert [int(key_of(a, b)) for a, b in drawn] == [mixed(int(a) ^ int(b)) for a, b in drawn]
