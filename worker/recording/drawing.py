"""Draws made before anything is seen: random excerpts per neuron, the panel, keys. Keyed by seed and layer, not taken
from a running generator: what one gets does not depend on what was drawn before.
"""

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]
UInt32Array = npt.NDArray[np.uint32]

ALL_LAYERS = 2**32
"""In place of a layer, for draws that hold in all of them."""


def drawn_excerpts(n_neurons: int, n_excerpts: int, n_drawn: int, *, seed: int, layer: int) -> Int64Array:
    """Excerpts drawn for each neuron without replacement and in random order, shape (neurons, n_drawn).

    All excerpts in random order when there are fewer than n_drawn.
    """
    n_drawn = min(n_drawn, n_excerpts)
    raw = _raw(seed, layer, 2 * n_neurons * n_drawn)
    choices, order = raw.reshape(2, n_neurons, n_drawn)
    chosen = np.empty((n_neurons, n_drawn), dtype=np.int64)
    # Floyd's algorithm: each step has one more excerpt to choose from, and takes that one if its choice is taken.
    for step in range(n_drawn):
        largest = n_excerpts - n_drawn + step
        choice = (choices[:, step] % np.uint64(largest + 1)).astype(np.int64)
        is_taken = (chosen[:, :step] == choice[:, None]).any(axis=1)
        chosen[:, step] = np.where(is_taken, largest, choice)
    return np.take_along_axis(chosen, np.argsort(order, axis=1, kind="stable"), axis=1)


def panel_excerpts(n_excerpts: int, n_kept: int, *, seed: int) -> Int64Array:
    """Rising positions of n_kept excerpts, or of all of them when there are fewer."""
    drawn = np.argsort(np.random.PCG64(seed).random_raw(n_excerpts), kind="stable")[:n_kept]
    return np.sort(drawn)


def excerpt_keys(n_excerpts: int, *, seed: int) -> UInt32Array:
    return _raw(seed, ALL_LAYERS, n_excerpts).astype(np.uint32)


def neuron_keys(n_neurons: int, *, seed: int, layer: int) -> UInt32Array:
    return _raw(seed, ALL_LAYERS + 1 + layer, n_neurons).astype(np.uint32)


def _raw(seed: int, stream: int, n: int) -> npt.NDArray[np.uint64]:
    return np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)).random_raw(n)
