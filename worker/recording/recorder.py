"""One pass over the excerpts that keeps, for every neuron, what it responds to: records of every band, statistics.

Every activation is read once, for the excerpt's maximum, minimum and sums; the activations of an excerpt are copied
only for the neurons that it is among the best of so far, or was drawn for. What a chunk of the corpus added is taken
out after it, as a part; parts.py makes the recording of all parts. What is kept of given activations does not depend on
how excerpts were batched, nor on which chunks one recorder has seen. Knows no text and no database.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from app.errors import InvalidInput
from app.neurons.records import Float16Array
from worker.recording import parts
from worker.recording.drawing import UInt32Array, drawn_excerpts, excerpt_keys, panel_excerpts
from worker.recording.moments import BlockSums
from worker.recording.plan import BLOCK, LARGEST_PANEL, RecordingPlan
from worker.recording.ranking import Int64Array, Ranking
from worker.recording.reducing import Reader, as_compared, as_stored
from worker.recording.sketch import Sketch

Int32Array = npt.NDArray[np.int32]
Observe = Callable[[int, torch.Tensor], None]


class ObservedModel(Protocol):
    """What the recorder needs of a subject model; subjects/subject.py has the real one and says what these mean."""

    n_layers: int
    n_neurons_per_layer: int
    n_threads: int

    def forward(self, token_ids: Int32Array) -> None: ...

    def observing(self, observe: Observe) -> AbstractContextManager[None]: ...


class Recorder:
    """What a run over consecutive chunks keeps: `record` each, and `take_part` of every layer after it.

    A fresh recorder may start at any chunk. What it knows of the chunks before only saves it work.
    """

    def __init__(self, subject: ObservedModel, plan: RecordingPlan):
        self._subject = subject
        self._first = 0
        n_neurons = subject.n_neurons_per_layer
        # One for all layers: they are read one after the other.
        reader = Reader(plan.n_ignored, subject.n_threads)
        panel = panel_excerpts(plan.n_excerpts, LARGEST_PANEL, seed=plan.seed)
        keys = excerpt_keys(plan.n_excerpts, seed=plan.seed)
        self._layers = [_Layer(plan, layer, n_neurons, reader, panel, keys) for layer in range(subject.n_layers)]

    def record(self, token_ids: Int32Array, chunk: range, batch_size: int, progress: Callable[[int], None]) -> None:
        """Runs the subject over the excerpts of a chunk, in their order.

        token_ids: of the whole corpus, shape (excerpts, tokens). progress: called after each batch with the number of
        the chunk's excerpts seen. Errors: InvalidInput when an activation is not a number, or infinite.
        """
        self.start_chunk(chunk)
        with self._subject.observing(self.observe):
            for first in range(chunk.start, chunk.stop, batch_size):
                end = min(first + batch_size, chunk.stop)
                self.start_batch(first)
                self._subject.forward(token_ids[first:end])
                progress(end - chunk.start)

    def start_chunk(self, chunk: range) -> None:
        for layer in self._layers:
            layer.start(chunk)

    def start_batch(self, first: int) -> None:
        """first: position of the batch's first excerpt; batches come in the order of their excerpts."""
        self._first = first

    def observe(self, layer: int, activations: torch.Tensor) -> None:
        """activations: of the batch's excerpts, shape (excerpts, tokens, neurons)."""
        self._layers[layer].add(self._first, activations)

    def take_part(self, layer: int) -> bytes:
        """What the chunk just recorded added to a layer; once per chunk."""
        return self._layers[layer].taken()


class _Layer:
    def __init__(
        self,
        plan: RecordingPlan,
        layer: int,
        n_neurons: int,
        reader: Reader,
        panel: Int64Array,
        keys_of_excerpts: UInt32Array,
    ):
        self._plan = plan
        self._layer = layer
        self._reader = reader
        self._panel = panel
        drawn = drawn_excerpts(n_neurons, plan.n_excerpts, plan.n_random, seed=plan.seed, layer=layer)
        self._drawn_in_order = np.argsort(drawn, axis=None, kind="stable")
        self._drawn_excerpts = drawn.ravel()[self._drawn_in_order]
        self._n_drawn = drawn.shape[1]
        self._top = Ranking(n_neurons, min(plan.n_top, plan.n_excerpts), plan.n_tokens)
        self._bottom = Ranking(n_neurons, min(plan.n_bottom, plan.n_excerpts), plan.n_tokens)
        self._sketch = Sketch(n_neurons, plan.n_sketched, plan.n_tokens, keys_of_excerpts, seed=plan.seed, layer=layer)
        self._sums = BlockSums(n_neurons, plan.n_excerpts, plan.n_tokens - plan.n_ignored)

    def start(self, chunk: range) -> None:
        self._chunk = chunk
        self._random: list[Float16Array] = []
        self._panel_maxima: list[Float16Array] = []
        self._panel_minima: list[Float16Array] = []

    def add(self, first: int, activations: torch.Tensor) -> None:
        try:
            maxima, minima = self._read(first, activations)
        except InvalidInput as error:
            raise InvalidInput(f"the model's activations in layer {self._layer} are {error}") from None
        self._keep_panel(first, maxima, minima)
        values = as_compared(maxima)
        wanted = [(self._random_copies(first, len(activations)), self._keep_random)]
        better = self._top.insert(first, values)
        wanted.append((better[:2], partial(self._top.put, better)))
        if minima is not None:
            worse = self._bottom.insert(first, -as_compared(minima))
            wanted.append((worse[:2], partial(self._bottom.put, worse)))
        if self._plan.n_sketched:
            wanted.append((self._sketch.candidates(values, first), self._sketch.put))
        self._copy(activations, wanted)

    def taken(self) -> bytes:
        plan = self._plan
        return parts.encoded(
            chunk=self._chunk,
            top=self._top.since(self._chunk.start),
            bottom=self._bottom.since(self._chunk.start) if plan.n_bottom else {},
            sketch=self._sketch.taken() if plan.n_sketched else {},
            random=self._random_of_chunk(),
            panel_maxima=np.concatenate(self._panel_maxima),
            panel_minima=np.concatenate(self._panel_minima) if self._panel_minima else None,
            nodes=self._sums.taken(),
        )

    def _read(self, first: int, activations: torch.Tensor) -> tuple[Float16Array, Float16Array | None]:
        """Maxima and minima as stored, (excerpts, neurons); minima are None where there are to be no statistics."""
        if not self._plan.has_statistics:
            return as_stored(self._reader.maxima(activations)), None
        origins = self._sums.origins(first, len(activations), partial(self._reader.first_counted, activations))
        read = self._reader.reduced(activations, origins, first % BLOCK)
        self._sums.add(first, origins, read.sums)
        return as_stored(read.maxima), as_stored(read.minima)

    def _keep_panel(self, first: int, maxima: Float16Array, minima: Float16Array | None) -> None:
        begin, end = np.searchsorted(self._panel, [first, first + len(maxima)])
        kept: slice | Int64Array = self._panel[begin:end] - first
        if end - begin == len(maxima):
            kept = slice(None)
        self._panel_maxima.append(maxima[kept])
        if minima is not None and self._plan.polarity == "both":
            self._panel_minima.append(minima[kept])

    def _copy(
        self, activations: torch.Tensor, wanted: Sequence[tuple[Int64Array, Callable[[Float16Array], None]]]
    ) -> None:
        """wanted: (excerpt in the batch, neuron), shape (2, copies), and what takes their activations.

        All are looked up at once: on a GPU every look costs a wait.
        """
        excerpts, neurons = np.concatenate([pairs for pairs, _ in wanted], axis=1)
        copied = self._reader.columns(activations, excerpts, neurons)
        begin = 0
        for pairs, take in wanted:
            take(copied[begin : begin + pairs.shape[1]])
            begin += pairs.shape[1]

    def _random_copies(self, first: int, n_excerpts: int) -> Int64Array:
        begin, end = np.searchsorted(self._drawn_excerpts, [first, first + n_excerpts])
        return np.stack([self._drawn_excerpts[begin:end] - first, self._drawn_in_order[begin:end] // self._n_drawn])

    def _keep_random(self, activations: Float16Array) -> None:
        # A copy, for what is given is part of a larger array, which would stay with it.
        self._random.append(activations.copy())

    def _random_of_chunk(self) -> dict[str, npt.NDArray[np.generic]]:
        begin, end = np.searchsorted(self._drawn_excerpts, [self._chunk.start, self._chunk.stop])
        in_order = self._drawn_in_order[begin:end]
        return {
            "neuron": (in_order // self._n_drawn).astype(np.int32),
            "rank": (in_order % self._n_drawn).astype(np.int32),
            "excerpt": self._drawn_excerpts[begin:end].astype(np.int32),
            "activations": np.concatenate(self._random),
        }
