"""What is read off the activations of a batch while they are there: maxima, minima and sums per excerpt, and the
activations of single excerpts and neurons. On a CPU by compiled loops on several threads, elsewhere by torch.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from app.errors import InvalidInput
from app.neurons.records import Float16Array
from worker.recording.kernels import LARGEST_FLOAT16, copy_columns, largest_activations, reduce_excerpts
from worker.recording.moments import N_SUMS
from worker.recording.plan import BLOCK
from worker.recording.ranking import Float32Array, Int64Array

SMALLEST_SHARE = 2048
"""Neurons of a thread at least: below, waking it takes longer than what it saves."""


@dataclass(frozen=True)
class Reduced:
    """Of each excerpt and neuron: the largest and the smallest activation, (excerpts, neurons), neither beyond float16,
    and sums of powers, (5, excerpts, neurons); see kernels.py."""

    maxima: Float32Array
    minima: Float32Array
    sums: Float32Array


def as_stored(values: Float32Array) -> Float16Array:
    """Rounded to float16. values: none of them beyond its largest number, which stands for what is."""
    # torch rounds several times as fast as numpy.
    stored: Float16Array = torch.from_numpy(values).half().numpy()
    return stored


def as_compared(stored: Float16Array) -> Float32Array:
    """Stored values as numbers that the loops can compare."""
    compared: Float32Array = torch.from_numpy(stored).float().numpy()
    return compared


class Reader:
    """Reads activations of shape (excerpts, tokens, neurons), of which the first n_ignored tokens do not count.

    What a method returns is valid until the next call: fresh memory for every batch costs as much as filling it.
    """

    def __init__(self, n_ignored: int, n_threads: int):
        self._n_ignored = n_ignored
        self._n_threads = n_threads
        self._filled = _filled(0, 0)

    def reduced(self, activations: torch.Tensor, origins: Float32Array, n_before: int) -> Reduced:
        """origins, n_before: as reduce_excerpts has them.

        Errors: InvalidInput when an activation that counts is not a number, or infinite.
        """
        filled = self._to_fill(activations)
        if activations.device.type == "cpu":
            self._by_loops(_as_array(activations), origins, n_before, filled)
        else:
            self._by_torch(activations, origins, n_before, filled)
        self._check_finite(activations, filled.sums[1])
        return filled

    def maxima(self, activations: torch.Tensor) -> Float32Array:
        """The largest activation of each excerpt and neuron, (excerpts, neurons). Errors: as reduced."""
        filled = self._to_fill(activations)
        if activations.device.type == "cpu":
            largest_activations(_as_array(activations), self._n_ignored, filled.maxima, filled.sums[1])
        else:
            counted = activations[:, self._n_ignored :].float()
            filled.maxima[:] = _clipped(counted.amax(dim=1))
            filled.sums[1] = counted.sum(dim=1).cpu().numpy()
        self._check_finite(activations, filled.sums[1])
        return filled.maxima

    def columns(self, activations: torch.Tensor, excerpts: Int64Array, neurons: Int64Array) -> Float16Array:
        """The activations of neurons on excerpts as they are stored, (pairs, tokens); 0 where they do not count."""
        if activations.device.type == "cpu":
            copied = np.empty((len(excerpts), activations.shape[1]), dtype=np.float32)
            copy_columns(_as_array(activations), excerpts, neurons, copied)
        else:
            at = [torch.from_numpy(places).to(activations.device) for places in (excerpts, neurons)]
            copied = _clipped(activations[at[0], :, at[1]].float())
        copied[:, : self._n_ignored] = 0
        return as_stored(copied)

    def first_counted(self, activations: torch.Tensor, excerpt: int) -> Float32Array:
        """Activations at the first token that counts, (neurons,)."""
        first: Float32Array = activations[excerpt, self._n_ignored].float().cpu().numpy()
        return first

    def _to_fill(self, activations: torch.Tensor) -> Reduced:
        n_excerpts, _, n_neurons = activations.shape
        if self._filled.maxima.shape != (n_excerpts, n_neurons):
            self._filled = _filled(n_excerpts, n_neurons)
        return self._filled

    def _by_loops(self, values: Float32Array, origins: Float32Array, n_before: int, filled: Reduced) -> None:
        n_neurons = values.shape[2]
        width = max(SMALLEST_SHARE, -(-n_neurons // self._n_threads))
        shares = [(begin, min(begin + width, n_neurons)) for begin in range(0, n_neurons, width)]

        def reduce(share: tuple[int, int]) -> None:
            arrays = (filled.maxima, filled.minima, filled.sums)
            reduce_excerpts(values, self._n_ignored, *share, origins, n_before, *arrays)

        others = [_threads(os.getpid()).submit(reduce, share) for share in shares[1:]]
        reduce(shares[0])
        for other in others:
            other.result()

    def _by_torch(self, activations: torch.Tensor, origins: Float32Array, n_before: int, filled: Reduced) -> None:
        near = torch.from_numpy(origins).to(activations.device)
        # One excerpt after the other, so that the powers take no more memory than one excerpt does.
        for e, excerpt in enumerate(activations):
            values = excerpt[self._n_ignored :].float()
            distances = values - near[(n_before + e) // BLOCK]
            squares = distances.square()
            powers = [(values > 0).float(), distances, squares, squares * distances, squares.square()]
            filled.maxima[e] = _clipped(values.amax(dim=0))
            filled.minima[e] = _clipped(values.amin(dim=0))
            filled.sums[:, e] = torch.stack([power.sum(dim=0) for power in powers]).cpu().numpy()

    def _check_finite(self, activations: torch.Tensor, totals: Float32Array) -> None:
        # A sum of finite numbers may be too large for a number; looking at each is dear, and only then needed.
        if not np.isfinite(totals).all() and not torch.isfinite(activations[:, self._n_ignored :]).all():
            raise InvalidInput("not all finite numbers")


def _as_array(activations: torch.Tensor) -> Float32Array:
    array: Float32Array = activations.float().contiguous().numpy()
    return array


def _clipped(values: torch.Tensor) -> Float32Array:
    clipped: Float32Array = values.clamp(-LARGEST_FLOAT16, LARGEST_FLOAT16).cpu().numpy()
    return clipped


def _filled(n_excerpts: int, n_neurons: int) -> Reduced:
    shape = (n_excerpts, n_neurons)
    maxima, minima = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    return Reduced(maxima, minima, np.empty((N_SUMS, *shape), dtype=np.float32))


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """One pool per process: threads do not live on in a fork."""
    return ThreadPoolExecutor(thread_name_prefix="recorder")
