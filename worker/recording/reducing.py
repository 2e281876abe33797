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
from worker.recording.kernels import copy_columns, largest_activations, reduce_excerpts
from worker.recording.moments import N_SUMS
from worker.recording.plan import BLOCK
from worker.recording.ranking import Float32Array, Int64Array

SMALLEST_SHARE = 2048
"""Neurons of a thread at least: below, waking it takes longer than what it saves."""
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Reduced:
    """Of each excerpt and neuron: the largest and the smallest activation, (excerpts, neurons), and sums of powers,
    (5, excerpts, neurons); see kernels.py."""

    maxima: Float32Array
    minima: Float32Array
    sums: Float32Array


def as_stored(values: Float32Array) -> Float16Array:
    """Rounded to float16; what is too large for it becomes its largest number rather than infinity."""
    # torch rounds several times as fast as numpy.
    stored: Float16Array = torch.from_numpy(values).clamp(-LARGEST_FLOAT16, LARGEST_FLOAT16).half().numpy()
    return stored


def reduced(activations: torch.Tensor, n_ignored: int, origins: Float32Array, n_before: int, n_threads: int) -> Reduced:
    """activations: (excerpts, tokens, neurons), of which the first n_ignored tokens do not count.

    origins, n_before: as reduce_excerpts has them. Errors: InvalidInput when one that counts is not a number, or
    infinite.
    """
    if activations.device.type == "cpu":
        result = _by_loops(activations, n_ignored, origins, n_before, n_threads)
    else:
        result = _by_torch(activations, n_ignored, origins, n_before)
    _check_finite(activations, n_ignored, result.sums[1])
    return result


def columns(activations: torch.Tensor, n_ignored: int, excerpts: Int64Array, neurons: Int64Array) -> Float16Array:
    """The activations of neurons on excerpts as they are stored, (pairs, tokens); 0 where they do not count."""
    if activations.device.type == "cpu":
        copied = np.empty((len(excerpts), activations.shape[1]), dtype=np.float32)
        copy_columns(_as_array(activations), excerpts, neurons, copied)
    else:
        pairs = (torch.from_numpy(places).to(activations.device) for places in (excerpts, neurons))
        of_excerpts, of_neurons = pairs
        copied = activations[of_excerpts, :, of_neurons].float().cpu().numpy()
    copied[:, :n_ignored] = 0
    return as_stored(copied)


def first_counted(activations: torch.Tensor, n_ignored: int, excerpt: int) -> Float32Array:
    """Activations at the first token that counts, (neurons,)."""
    first: Float32Array = activations[excerpt, n_ignored].float().cpu().numpy()
    return first


def reduced_to_maxima(activations: torch.Tensor, n_ignored: int) -> Float32Array:
    """The largest activation of each excerpt and neuron, (excerpts, neurons). Errors: as reduced."""
    if activations.device.type == "cpu":
        n_excerpts, _, n_neurons = activations.shape
        maxima, totals = np.empty((2, n_excerpts, n_neurons), dtype=np.float32)
        largest_activations(_as_array(activations), n_ignored, maxima, totals)
    else:
        counted = activations[:, n_ignored:].float()
        maxima, totals = counted.amax(dim=1).cpu().numpy(), counted.sum(dim=1).cpu().numpy()
    _check_finite(activations, n_ignored, totals)
    return maxima


def _check_finite(activations: torch.Tensor, n_ignored: int, totals: Float32Array) -> None:
    # A sum of finite numbers may be too large for a number; looking at each is dear, and only then needed.
    if not np.isfinite(totals).all() and not torch.isfinite(activations[:, n_ignored:]).all():
        raise InvalidInput("not all finite numbers")


def _as_array(activations: torch.Tensor) -> Float32Array:
    array: Float32Array = activations.float().contiguous().numpy()
    return array


def _by_loops(
    activations: torch.Tensor, n_ignored: int, origins: Float32Array, n_before: int, n_threads: int
) -> Reduced:
    values = _as_array(activations)
    n_excerpts, _, n_neurons = values.shape
    result = _empty(n_excerpts, n_neurons)
    width = max(SMALLEST_SHARE, -(-n_neurons // n_threads))
    shares = [(begin, min(begin + width, n_neurons)) for begin in range(0, n_neurons, width)]

    def reduce(share: tuple[int, int]) -> None:
        filled = (result.maxima, result.minima, result.sums)
        reduce_excerpts(values, n_ignored, *share, origins, n_before, *filled)

    others = [_threads(os.getpid()).submit(reduce, share) for share in shares[1:]]
    reduce(shares[0])
    for other in others:
        other.result()
    return result


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """One pool per process: threads do not live on in a fork."""
    return ThreadPoolExecutor(thread_name_prefix="recorder")


def _by_torch(activations: torch.Tensor, n_ignored: int, origins: Float32Array, n_before: int) -> Reduced:
    result = _empty(activations.shape[0], activations.shape[2])
    near = torch.from_numpy(origins).to(activations.device)
    # One excerpt after the other, so that the powers take no more memory than one excerpt does.
    for e, excerpt in enumerate(activations):
        values = excerpt[n_ignored:].float()
        distances = values - near[(n_before + e) // BLOCK]
        squares = distances.square()
        powers = [(values > 0).float(), distances, squares, squares * distances, squares.square()]
        result.maxima[e] = values.amax(dim=0).cpu().numpy()
        result.minima[e] = values.amin(dim=0).cpu().numpy()
        result.sums[:, e] = torch.stack([power.sum(dim=0) for power in powers]).cpu().numpy()
    return result


def _empty(n_excerpts: int, n_neurons: int) -> Reduced:
    shape = (n_excerpts, n_neurons)
    maxima, minima = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    return Reduced(maxima, minima, np.empty((N_SUMS, *shape), dtype=np.float32))
