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
from worker.recording.ranking import Float32Array, Int64Array
from worker.recording.selection import N_LEVELS, drawn_candidates, key_of, merge_drawn

STEP = 8
"""Excerpts looked at together at least."""
GROWTH = 1.25
"""Candidates are merged when so many times the excerpts of the last time have come: to merge is dear, and older
barriers let in some more that do not belong."""

Entries = dict[str, npt.NDArray[Any]]
"""neuron, excerpt, value, key, and row: where in the store of activations a record's are, -1 before they are there."""


class Sketch:
    """The sketch of every neuron, and the activations of what came into it since the last `taken`."""

    _n_merged: int
    """How many of the lists of entries are in the sketch already."""
    _n_before: int
    """How many of them were there before this batch."""
    _n_rows: int
    """Of stored activations."""

    def __init__(
        self, n_neurons: int, n_drawn: int, n_tokens: int, keys_of_excerpts: UInt32Array, *, seed: int, layer: int
    ):
        self._n_drawn = n_drawn
        self._n_tokens = n_tokens
        self._excerpt_keys = keys_of_excerpts
        self._neuron_keys = neuron_keys(n_neurons, seed=seed, layer=layer)
        self._values = np.empty((n_neurons, 0), dtype=np.float32)
        self._keys = np.empty((n_neurons, 0), dtype=np.uint32)
        # Where among the entries since the last `taken` a record is; -1 for one from before.
        self._places = np.empty((n_neurons, 0), dtype=np.int32)
        self._sizes = np.zeros(n_neurons, dtype=np.int64)
        self._barriers = np.full((N_LEVELS, n_neurons), -np.inf, dtype=np.float32)
        self._n_seen = 0
        self._n_seen_merged = 0
        self._start()

    def candidates(self, values: Float32Array, first: int) -> Int64Array:
        """values: of the excerpts from position `first` on, (excerpts, neurons).

        Returns what `put` needs the activations of: (excerpt in the batch, neuron), shape (2, candidates).
        """
        self._n_before = len(self._entries)
        begin = 0
        while begin < len(values):
            # Of a long batch the beginning is merged before the rest is looked at, as if the batch were short.
            end = min(len(values), begin + max(STEP, int((GROWTH - 1) * self._n_seen)))
            self._look_at(values[begin:end], first + begin)
            begin = end
        found = [
            np.stack([entries["excerpt"] - first, entries["neuron"]])[:, entries["row"] < 0]
            for entries in self._entries[self._n_before :]
        ]
        return np.concatenate(found, axis=1).astype(np.int64)

    def put(self, activations: Float16Array) -> None:
        """activations: of what `candidates` returned, (candidates, tokens)."""
        row = self._n_rows
        for entries in self._entries[self._n_before :]:
            waits = entries["row"] < 0
            n_waiting = int(waits.sum())
            entries["row"][waits] = np.arange(row, row + n_waiting)
            row += n_waiting
        self._n_rows = row
        # A copy, for what is given is part of a larger array, which would stay with it.
        self._activations.append(activations.copy())

    def taken(self) -> dict[str, npt.NDArray[Any]]:
        """What came in since the last call and is still kept, by neuron and rank; its activations are let go of."""
        self._merge()
        entries = self._entries[0]
        entries["activations"] = np.concatenate(self._activations)[entries.pop("row")]
        self._places[:] = -1
        self._start()
        return entries

    def _start(self) -> None:
        self._entries: list[Entries] = []
        self._n_merged = 0
        self._n_before = 0
        self._activations: list[Float16Array] = [np.empty((0, self._n_tokens), dtype=np.float16)]
        self._n_rows = 0

    def _look_at(self, values: Float32Array, first: int) -> None:
        found = np.empty((2, values.size), dtype=np.int64)
        keys = self._excerpt_keys[first : first + len(values)]
        n_found = drawn_candidates(values, keys, self._neuron_keys, self._barriers, found)
        excerpts, neurons = found[:, :n_found]
        entries: Entries = {
            "neuron": neurons.astype(np.int32),
            "excerpt": (first + excerpts).astype(np.int32),
            "value": values[excerpts, neurons],
            "key": key_of(keys[excerpts], self._neuron_keys[neurons]),
            "row": np.full(n_found, -1, dtype=np.int32),
        }
        self._entries.append(entries)
        self._n_seen += len(values)
        if self._n_seen >= GROWTH * self._n_seen_merged:
            self._merge()

    def _merge(self) -> None:
        """Takes the candidates into the lists; what does not belong there goes, with its activations."""
        self._n_seen_merged = self._n_seen
        n_old = sum(len(entries["row"]) for entries in self._entries[: self._n_merged])
        whole = {name: np.concatenate([entries[name] for entries in self._entries]) for name in self._entries[0]}
        new = {name: values[n_old:] for name, values in whole.items()}
        self._make_room(int((self._sizes + np.bincount(new["neuron"], minlength=len(self._sizes))).max()))
        lists = (self._values, self._keys, self._places, self._sizes, self._barriers)
        merge_drawn(new["neuron"], new["value"], new["key"], n_old, self._n_drawn, *lists)
        is_own = (np.arange(self._places.shape[1]) < self._sizes[:, None]) & (self._places >= 0)
        kept = self._places[is_own]
        self._places[is_own] = np.arange(len(kept))
        self._entries = [{name: values[kept] for name, values in whole.items()}]
        self._n_merged = 1
        self._n_before = 0
        self._drop_activations()

    def _drop_activations(self) -> None:
        """Lets go of those that no entry has, once they are the larger part."""
        entries = self._entries[0]
        is_there = entries["row"] >= 0
        if self._n_rows > 2 * int(is_there.sum()):
            self._activations = [np.concatenate(self._activations)[entries["row"][is_there]]]
            self._n_rows = len(self._activations[0])
            entries["row"][is_there] = np.arange(self._n_rows)

    def _make_room(self, length: int) -> None:
        if length > self._values.shape[1]:
            self._values = _widened(self._values, length)
            self._keys = _widened(self._keys, length)
            self._places = _widened(self._places, length)


def _widened(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """With room for `length` along the second axis; what is new holds anything."""
    wider = np.empty((len(array), length), dtype=array.dtype)
    wider[:, : array.shape[1]] = array
    return wider
