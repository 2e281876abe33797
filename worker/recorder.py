"""One pass over the excerpts that keeps, for every neuron, what it responds to: top and drawn records, statistics.

Per batch and layer only the maximum over tokens is looked at for every excerpt and neuron; the activations of an
excerpt are copied only for the neurons that it is among the best of so far, or was drawn for. Records have a total
order (value as stored, falling; then excerpt, rising), so that what is kept of given activations does not depend on
how the excerpts were batched. Knows no model, no text and no database.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from app.errors import InvalidInput
from app.neurons.records import N_RANDOM_RECORDS, N_TOP_RECORDS
from app.neurons.storing import LayerRecording
from worker.reducers import TOKENS_AT_ONCE, DrawnRecords, Moments, Panel, TopRecords, as_stored, drawn_excerpts

QUANTILE = 0.9

Int32Array = npt.NDArray[np.int32]
Observe = Callable[[int, torch.Tensor], None]


class ObservedModel(Protocol):
    """What the recorder needs of a subject model; worker/subject.py has the real one and says what these mean."""

    n_layers: int
    n_neurons_per_layer: int
    device: torch.device

    def forward(self, token_ids: Int32Array) -> None: ...

    def observing(self, observe: Observe) -> AbstractContextManager[None]: ...


class Recorder:
    """What was kept of every layer so far. Takes `start_batch`, then `observe` for each layer, batch after batch."""

    def __init__(self, subject: ObservedModel, *, n_excerpts: int, n_tokens: int, seed: int):
        # One for all layers: they are observed one after the other.
        scratch = torch.empty((2, TOKENS_AT_ONCE, subject.n_neurons_per_layer), device=subject.device)
        self._layers = [
            _Layer(layer, n_excerpts=n_excerpts, n_tokens=n_tokens, seed=seed, scratch=scratch)
            for layer in range(subject.n_layers)
        ]
        self._first = 0

    def start_batch(self, first: int) -> None:
        """first: position of the batch's first excerpt; batches come in the order of their excerpts."""
        self._first = first

    def observe(self, layer: int, activations: torch.Tensor) -> None:
        """activations: of the batch's excerpts, shape (excerpts, tokens, neurons).

        Errors: InvalidInput when one of them is not a number, or infinite.
        """
        self._layers[layer].add(self._first, activations)

    def layers(self) -> Iterator[LayerRecording]:
        """The finished recording, one layer at a time."""
        for layer in self._layers:
            yield layer.finished()


def record(
    subject: ObservedModel, token_ids: Int32Array, *, seed: int, batch_size: int, progress: Callable[[int], None]
) -> Recorder:
    """Runs the subject once over all excerpts, token_ids of shape (excerpts, tokens), in their order.

    progress: called after each batch with the number of excerpts seen so far.
    """
    n_excerpts, n_tokens = token_ids.shape
    recorder = Recorder(subject, n_excerpts=n_excerpts, n_tokens=n_tokens, seed=seed)
    with subject.observing(recorder.observe):
        for first in range(0, n_excerpts, batch_size):
            recorder.start_batch(first)
            subject.forward(token_ids[first : first + batch_size])
            progress(min(first + batch_size, n_excerpts))
    return recorder


class _Layer:
    def __init__(self, layer: int, *, n_excerpts: int, n_tokens: int, seed: int, scratch: torch.Tensor):
        self._layer = layer
        self._scratch = scratch
        n_neurons, device = scratch.shape[-1], scratch.device
        drawn = drawn_excerpts(n_neurons, n_excerpts, N_RANDOM_RECORDS, seed=seed, layer=layer)
        self._random = DrawnRecords(drawn, n_tokens, device)
        self._top = TopRecords(n_neurons, min(N_TOP_RECORDS, n_excerpts), n_tokens, device)
        self._panel = Panel(n_neurons, n_excerpts, seed)
        self._moments = Moments(n_neurons, device)

    def add(self, first: int, activations: torch.Tensor) -> None:
        maxima = activations.amax(dim=1)
        if not torch.isfinite(maxima).all():
            raise InvalidInput(f"the model's activations in layer {self._layer} are not all finite numbers")
        stored_maxima = as_stored(maxima)
        self._panel.add(first, stored_maxima)
        self._top.add(first, activations, stored_maxima.float())
        self._random.add(first, activations)
        self._moments.add(activations.flatten(end_dim=1), self._scratch)

    def finished(self) -> LayerRecording:
        mean, variance, skewness, kurtosis, share_active = self._moments.finished()
        top = self._top.finished()
        return LayerRecording(
            layer=self._layer,
            maximum=top.activations[:, 0].max(axis=1).astype(np.float64),
            mean=mean,
            variance=variance,
            skewness=skewness,
            kurtosis=kurtosis,
            share_active=share_active,
            q90=self._panel.quantile(QUANTILE),
            top=top,
            random=self._random.finished(),
        )
