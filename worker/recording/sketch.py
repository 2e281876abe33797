"""Draws of excerpts above any value that may be asked for later, in one pass.

Where a neuron's quantiles lie is known at the end, when the activations are gone. So of the excerpts above every value
those few are kept that have the smallest of the keys which were drawn beforehand: an excerpt stays as long as fewer
than n_drawn better ones have keys as small. Of E excerpts that leaves about n_drawn (1 + ln(E / n_drawn)) per neuron,
and whatever the value, the n_drawn smallest keys above it are an even draw of all excerpts above it. Source: the idea
of all-distances sketches (Cohen 1997), with ranks in the place of distances.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.neurons.records import Float16Array
from worker.recording.drawing import UInt32Array, neuron_keys
from worker.recording.kernels import N_LEVELS, drawn_candidates, key_of, merge_drawn
from worker.recording.ranking import Float32Array, Int64Array

GROWTH = 1.25
"""Candidates are merged when so many times the excerpts of the last time have come: to merge is dear, and older
barriers let in some more that do not belong."""


class Sketch:
    """The sketch of every neuron, and the activations of what came into it since the last `taken`."""

    def __init__(
        self, n_neurons: int, n_drawn: int, n_tokens: int, keys_of_excerpts: UInt32Array, *, seed: int, layer: int
    ):
        self._n_drawn = n_drawn
        self._excerpt_keys = keys_of_excerpts
        self._neuron_keys = neuron_keys(n_neurons, seed=seed, layer=layer)
        self._values = np.empty((n_neurons, 0), dtype=np.float32)
        self._keys = np.empty((n_neurons, 0), dtype=np.uint32)
        # Where among the candidates since the last `taken` a record lies; -1 for one from before.
        self._places = np.empty((n_neurons, 0), dtype=np.int32)
        self._sizes = np.zeros(n_neurons, dtype=np.int64)
        self._barriers = np.full((N_LEVELS, n_neurons), -np.inf, dtype=np.float32)
        self._n_seen = 0
        self._n_seen_merged = 0
        self._n_merged: int
        self._n_places: int
        self._clear_candidates()

    def candidates(self, values: Float32Array, first: int) -> Int64Array:
        """values: of the excerpts from position `first` on, (excerpts, neurons).

        Returns what `put` needs the activations of: (excerpt in the batch, neuron), shape (2, candidates).
        """
        found = np.empty((2, values.size), dtype=np.int64)
        keys = self._excerpt_keys[first : first + len(values)]
        n_found = drawn_candidates(values, keys, self._neuron_keys, self._barriers, found)
        return found[:, :n_found]

    def put(self, values: Float32Array, first: int, candidates: Int64Array, activations: Float16Array) -> None:
        """activations: (candidates, tokens)."""
        excerpts, neurons = candidates
        self._candidates["neuron"].append(neurons.astype(np.int32))
        self._candidates["excerpt"].append((first + excerpts).astype(np.int32))
        self._candidates["value"].append(values[excerpts, neurons])
        self._candidates["key"].append(mixed_keys(self._excerpt_keys[first + excerpts], self._neuron_keys[neurons]))
        # A copy, for what is given is part of a larger array, which would stay with it.
        self._candidates["activations"].append(activations.copy())
        self._n_seen += len(values)
        if self._n_seen >= GROWTH * self._n_seen_merged:
            self._merge()

    def taken(self) -> dict[str, npt.NDArray[Any]]:
        """What came in since the last call and is still kept, by neuron and rank; its activations are let go of."""
        self._merge()
        is_kept = np.arange(self._places.shape[1]) < self._sizes[:, None]
        places = self._places[is_kept & (self._places >= 0)]
        entries = {name: np.concatenate(arrays)[places] for name, arrays in self._candidates.items()}
        self._places[:] = -1
        self._clear_candidates()
        return entries

    def _merge(self) -> None:
        unmerged = {name: self._candidates[name][self._n_merged :] for name in ("neuron", "value", "key")}
        if unmerged["neuron"]:
            neurons, values, keys = (np.concatenate(arrays) for arrays in unmerged.values())
            self._make_room(int((self._sizes + np.bincount(neurons, minlength=len(self._sizes))).max()))
            lists = (self._values, self._keys, self._places, self._sizes, self._barriers)
            merge_drawn(neurons, values, keys, self._n_places, self._n_drawn, *lists)
            self._n_places += len(neurons)
        self._n_merged = len(self._candidates["neuron"])
        self._n_seen_merged = self._n_seen

    def _make_room(self, length: int) -> None:
        if length > self._values.shape[1]:
            self._values = _widened(self._values, length)
            self._keys = _widened(self._keys, length)
            self._places = _widened(self._places, length)

    def _clear_candidates(self) -> None:
        names = ("neuron", "excerpt", "value", "key", "activations")
        self._candidates: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
        self._n_merged = 0
        self._n_places = 0


def mixed_keys(of_excerpts: UInt32Array, of_neurons: UInt32Array) -> UInt32Array:
    """The keys of pairs of an excerpt and a neuron."""
    keys: UInt32Array = key_of(of_excerpts, of_neurons)
    return keys


def _widened(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """With room for `length` along the second axis; what is new holds anything."""
    wider = np.empty((len(array), length), dtype=array.dtype)
    wider[:, : array.shape[1]] = array
    return wider
