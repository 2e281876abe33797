"""The best excerpts of every neuron so far, in a total order: by value as stored, falling, then by excerpt, rising.

Excerpts come in rising order, so that what is kept does not depend on how they were batched.
"""

import numpy as np
import numpy.typing as npt

from app.neurons.records import Float16Array
from worker.recording.selection import insert_better

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


class Ranking:
    """n_kept excerpts of each neuron, best first, with their activations. Fewer until so many have come."""

    def __init__(self, n_neurons: int, n_kept: int, n_tokens: int):
        self._values = np.full((n_neurons, n_kept), -np.inf, dtype=np.float32)
        self._worst = np.full(n_neurons, -np.inf, dtype=np.float32)
        self._excerpts = np.full((n_neurons, n_kept), -1, dtype=np.int32)
        # Activations stay where they were first written; `_places` says where those of each rank lie.
        self._places = np.tile(np.arange(n_kept, dtype=np.int32), (n_neurons, 1))
        self._activations = np.zeros((n_neurons, n_kept, n_tokens), dtype=np.float16)

    def insert(self, first: int, values: Float32Array) -> Int64Array:
        """values: of the excerpts from position `first` on, (excerpts, neurons).

        Returns what `put` needs the activations of: (excerpt in the batch, neuron, place), shape (3, copies).
        """
        copies = np.empty((3, values.size), dtype=np.int64)
        n_copies = insert_better(values, first, self._values, self._excerpts, self._places, self._worst, copies)
        return copies[:, :n_copies]

    def put(self, copies: Int64Array, activations: Float16Array) -> None:
        """activations: (copies, tokens)."""
        # Of several for one place numpy keeps the last, which is the one that ranks there now.
        self._activations[copies[1], copies[2]] = activations

    def since(self, first: int) -> dict[str, npt.NDArray[np.generic]]:
        """The records kept now whose excerpts are at `first` or later, by neuron and rank."""
        neurons, ranks = np.nonzero(self._excerpts >= first)
        return {
            "neuron": neurons.astype(np.int32),
            "excerpt": self._excerpts[neurons, ranks],
            "value": self._values[neurons, ranks],
            "activations": self._activations[neurons, self._places[neurons, ranks]],
        }
