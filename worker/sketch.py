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
from worker.drawing import UInt32Array, neuron_keys
from worker.kernels import N_LEVELS, insert_drawn
from worker.ranking import Float32Array, Int64Array

STEP = 16
"""Excerpts inserted at once; every neuron needs so much room to spare."""


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
        self._excerpts = np.empty((n_neurons, 0), dtype=np.int32)
        self._ahead = np.empty((n_neurons, 0), dtype=np.int8)
        self._slots = np.empty((n_neurons, 0), dtype=np.int32)
        self._sizes = np.zeros(n_neurons, dtype=np.int64)
        self._barriers = np.full((n_neurons, N_LEVELS), -np.inf, dtype=np.float32)
        self._activations = np.empty((0, n_tokens), dtype=np.float16)
        self._free = np.empty(0, dtype=np.int32)
        self._slots_used = np.zeros(2, dtype=np.int64)

    def insert(self, first: int, values: Float32Array) -> Int64Array:
        """values: of the excerpts from position `first` on, (excerpts, neurons).

        Returns what `put` needs the activations of: (excerpt in the batch, neuron, slot), shape (3, copies).
        """
        steps = [self._insert_few(first, values, begin) for begin in range(0, len(values), STEP)]
        return np.concatenate(steps, axis=1)

    def _insert_few(self, first: int, values: Float32Array, begin: int) -> Int64Array:
        few = values[begin : begin + STEP]
        self._make_room(int(self._sizes.max()) + len(few) + 1)
        copies = np.empty((3, few.size), dtype=np.int64)
        keys = self._excerpt_keys[first + begin : first + begin + len(few)]
        lists = (self._values, self._keys, self._excerpts, self._ahead, self._slots, self._sizes, self._barriers)
        n_copies = insert_drawn(
            few, first + begin, keys, self._neuron_keys, self._n_drawn, lists, self._slots_used, self._free, copies
        )
        copies[0, :n_copies] += begin
        return copies[:, :n_copies]

    def put(self, copies: Int64Array, activations: Float16Array) -> None:
        """activations: (copies, tokens)."""
        n_slots = int(self._slots_used[0])
        if n_slots > len(self._activations):
            self._activations = _widened(self._activations, n_slots + n_slots // 4, axis=0)
        # Of several for one slot numpy keeps the last, which is the one that has it now.
        self._activations[copies[2]] = activations

    def taken(self) -> dict[str, npt.NDArray[Any]]:
        """What came in since the last call and is still kept, by neuron and rank; its activations are let go of."""
        is_kept = np.arange(self._slots.shape[1]) < self._sizes[:, None]
        neurons, ranks = np.nonzero(is_kept & (self._slots >= 0))
        entries: dict[str, npt.NDArray[Any]] = {
            "neuron": neurons.astype(np.int32),
            "excerpt": self._excerpts[neurons, ranks],
            "value": self._values[neurons, ranks],
            "key": self._keys[neurons, ranks],
            "activations": self._activations[self._slots[neurons, ranks]],
        }
        self._slots[:] = -1
        self._slots_used[:] = 0
        self._activations = self._activations[:0]
        return entries

    def _make_room(self, n: int) -> None:
        if n <= self._values.shape[1]:
            return
        room = n + STEP
        self._values = _widened(self._values, room, axis=1)
        self._keys = _widened(self._keys, room, axis=1)
        self._excerpts = _widened(self._excerpts, room, axis=1)
        self._ahead = _widened(self._ahead, room, axis=1)
        self._slots = _widened(self._slots, room, axis=1)
        self._free = _widened(self._free, self._slots.size, axis=0)


def _widened(array: npt.NDArray[Any], length: int, axis: int) -> npt.NDArray[Any]:
    """The array with room for `length` along an axis; what is new holds anything."""
    shape = list(array.shape)
    shape[axis] = length
    wider = np.empty(shape, dtype=array.dtype)
    wider[tuple(slice(n) for n in array.shape)] = array
    return wider
