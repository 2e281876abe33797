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
from worker.kernels import BLOCK_WIDTH, reduce_excerpts
from worker.moments import N_SUMS
from worker.ranking import Float32Array, Int64Array

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Reduced:
    """Of each excerpt and neuron: the largest and the smallest activation, (excerpts, neurons), and sums of powers,
    (5, excerpts, neurons); see worker/kernels.py."""

    maxima: Float32Array
    minima: Float32Array
    sums: Float32Array


def as_stored(values: Float32Array) -> Float16Array:
    """Rounded to float16; what is too large for it becomes its largest number rather than infinity."""
    return np.clip(values, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)


def reduced(activations: torch.Tensor, n_ignored: int, origin: Float32Array, n_threads: int) -> Reduced:
    """activations: (excerpts, tokens, neurons), of which the first n_ignored tokens do not count.

    Errors: InvalidInput when one that counts is not a number, or infinite.
    """
    on_cpu = activations.device.type == "cpu"
    result = (
        _by_loops(activations, n_ignored, origin, n_threads) if on_cpu else _by_torch(activations, n_ignored, origin)
    )
    # A sum of finite numbers may be too large for a number; looking at each is dear, and only then needed.
    if not np.isfinite(result.sums[1]).all() and not torch.isfinite(activations[:, n_ignored:]).all():
        raise InvalidInput("not all finite numbers")
    return result


def columns(activations: torch.Tensor, n_ignored: int, excerpts: Int64Array, neurons: Int64Array) -> Float16Array:
    """The activations of neurons on excerpts as they are stored, (pairs, tokens); 0 where they do not count."""
    device = activations.device
    rows = activations[torch.from_numpy(excerpts).to(device), :, torch.from_numpy(neurons).to(device)]
    stored = rows.float().clamp_(-LARGEST_FLOAT16, LARGEST_FLOAT16).half()
    stored[:, :n_ignored] = 0
    columns: Float16Array = stored.cpu().numpy()
    return columns


def first_counted(activations: torch.Tensor, n_ignored: int, excerpt: int) -> Float32Array:
    """Activations at the first token that counts, (neurons,)."""
    first: Float32Array = activations[excerpt, n_ignored].float().cpu().numpy().copy()
    return first


def _by_loops(activations: torch.Tensor, n_ignored: int, origin: Float32Array, n_threads: int) -> Reduced:
    values = activations.float().contiguous().numpy()
    n_excerpts, _, n_neurons = values.shape
    result = _empty(n_excerpts, n_neurons)
    n_blocks = -(-n_neurons // BLOCK_WIDTH)
    width = -(-n_blocks // n_threads) * BLOCK_WIDTH
    shares = [(begin, min(begin + width, n_neurons)) for begin in range(0, n_neurons, width)]

    def reduce(share: tuple[int, int]) -> None:
        reduce_excerpts(values, n_ignored, *share, origin, result.maxima, result.minima, result.sums)

    if len(shares) == 1:
        reduce(shares[0])
    else:
        list(_threads(os.getpid()).map(reduce, shares))
    return result


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """One pool per process: threads do not live on in a fork."""
    return ThreadPoolExecutor(thread_name_prefix="recorder")


def _by_torch(activations: torch.Tensor, n_ignored: int, origin: Float32Array) -> Reduced:
    result = _empty(activations.shape[0], activations.shape[2])
    near = torch.from_numpy(origin).to(activations.device)
    # One excerpt after the other, so that the powers take no more memory than one excerpt does.
    for e, excerpt in enumerate(activations):
        values = excerpt[n_ignored:].float()
        distances = values - near
        squares = distances.square()
        powers = [(values > 0).float(), distances, squares, squares * distances, squares.square()]
        result.maxima[e] = values.amax(dim=0).cpu().numpy()
        result.minima[e] = values.amin(dim=0).cpu().numpy()
        result.sums[:, e] = torch.stack([power.sum(dim=0) for power in powers]).cpu().numpy()
    return result


def _empty(n_excerpts: int, n_neurons: int) -> Reduced:
    shape = (n_excerpts, n_neurons)
    return Reduced(
        np.empty(shape, dtype=np.float32),
        np.empty(shape, dtype=np.float32),
        np.empty((N_SUMS, *shape), dtype=np.float32),
    )
