"""Moments of every neuron over all tokens that count, as exact to the bit whatever the batches and shards were.

Sums of floating-point numbers depend on their order, so there is one order for all: of an excerpt token by token (on a
GPU as torch adds them), of a block of excerpts one by one, and the blocks of a corpus in pairs, pairs of pairs and so
on, by a block's place in the corpus alone. A stretch of blocks is held as the fewest whole nodes of that tree, and two
stretches join to what the long one would have been.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.recording.kernels import add_excerpts, central_sums, joined_sums
from worker.recording.plan import BLOCK
from worker.recording.ranking import Float32Array

Float64Array = npt.NDArray[np.float64]

SMALLEST_KURTOSIS = 0.99
N_SUMS = 5
"""Tokens above 0, and the sums of the first four powers of the distances from the origin."""


@dataclass(frozen=True)
class Node:
    """2**level blocks, the index-th of such stretches in the corpus.

    n_tokens: how many count. values: (5, neurons): tokens above 0, mean, and the sums of the second, third and fourth
    powers of the distances from the mean.
    """

    level: int
    index: int
    n_tokens: int
    values: Float64Array


class BlockSums:
    """Sums of the block that is under way, and the nodes of those that are whole."""

    def __init__(self, n_neurons: int, n_excerpts: int, n_counted: int):
        self._n_excerpts = n_excerpts
        self._n_counted = n_counted
        self._totals = np.zeros((N_SUMS, n_neurons))
        self._origin = np.zeros(n_neurons, dtype=np.float32)
        self._nodes: list[Node] = []

    def origins(self, first: int, n_excerpts: int, first_token: Callable[[int], Float32Array]) -> Float32Array:
        """From where distances are taken in the blocks that a batch has a part in, (blocks, neurons): a value of the
        block's own, for far from the mean the sums of powers would cancel to noise.

        first_token: gives the activations at the first token that counts of an excerpt of the batch, (neurons,).
        """
        starts = range(-first % BLOCK, n_excerpts, BLOCK)
        own = [first_token(start) for start in starts]
        return np.stack(own if first % BLOCK == 0 else [self._origin, *own])

    def add(self, first: int, origins: Float32Array, sums: Float32Array) -> None:
        """sums: of the excerpts from position `first` on, (5, excerpts, neurons); origins: as taken for them."""
        n_before = first % BLOCK
        for number, origin in enumerate(origins):
            begin = max(0, number * BLOCK - n_before)
            end = min(sums.shape[1], (number + 1) * BLOCK - n_before)
            self._origin = origin
            add_excerpts(sums[:, begin:end], self._totals)
            if (first + end) % BLOCK == 0 or first + end == self._n_excerpts:
                self._close((first + end - 1) // BLOCK, n_block=(first + end - 1) % BLOCK + 1)

    def taken(self) -> list[Node]:
        """The nodes of what came since the last call, which ended with a block."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def _close(self, block: int, n_block: int) -> None:
        n_tokens = n_block * self._n_counted
        values = np.empty_like(self._totals)
        central_sums(float(n_tokens), self._origin, self._totals, values)
        append(self._nodes, Node(0, block, n_tokens, values))
        self._totals[:] = 0


def append(nodes: list[Node], node: Node) -> None:
    """Puts a node behind those of the blocks just before it; two halves of a larger one become that."""
    nodes.append(node)
    while len(nodes) > 1 and _are_halves(nodes[-2], nodes[-1]):
        right, left = nodes.pop(), nodes.pop()
        nodes.append(_joined(left, right))


def finished(nodes: list[Node]) -> dict[str, Float64Array]:
    """Mean, variance, skewness, kurtosis and the share of tokens above 0 of a whole corpus, each of shape (neurons,).

    Moments of the population; a normal distribution has kurtosis 3. What is not defined, as the skewness and kurtosis
    of a neuron that does not vary, or too large for a number, is NaN.
    """
    whole = nodes[-1]
    for node in reversed(nodes[:-1]):
        whole = _joined(node, whole)
    n_active, mean, m2, m3, m4 = whole.values
    n = whole.n_tokens
    with np.errstate(all="ignore"):
        variance = m2 / n
        spread = np.where(variance > 0, variance, np.nan)
        # No distribution has a kurtosis below 1: there the fourth powers were too small for their numbers.
        kurtosis = m4 / n / (spread * spread)
        is_lost = kurtosis < SMALLEST_KURTOSIS
        moments = {
            "mean": mean,
            "variance": variance,
            "skewness": np.where(is_lost, np.nan, m3 / n / (spread * np.sqrt(spread))),
            "kurtosis": np.where(is_lost, np.nan, kurtosis),
            "share_active": n_active / n,
        }
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in moments.items()}


def _are_halves(left: Node, right: Node) -> bool:
    return left.level == right.level and left.index % 2 == 0 and right.index == left.index + 1


def _joined(left: Node, right: Node) -> Node:
    # Numbers of tokens as floating-point numbers: their powers are too large for whole ones of 64 bits.
    values = np.empty_like(left.values)
    joined_sums(float(left.n_tokens), left.values, float(right.n_tokens), right.values, values)
    return Node(max(left.level, right.level) + 1, left.index // 2, left.n_tokens + right.n_tokens, values)
