"""Moments of every neuron over all tokens that count, as exact to the bit whatever the batches and shards were.

Sums of floating-point numbers depend on their order, so there is one order for all: of an excerpt token by token, of a
block of excerpts one by one, and the blocks of a corpus in pairs, pairs of pairs and so on, by a block's place in the
corpus alone. A stretch of blocks is held as the fewest whole nodes of that tree, and two stretches join to what the
long one would have been.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.kernels import add_excerpts
from worker.plan import BLOCK
from worker.ranking import Float32Array

Float64Array = npt.NDArray[np.float64]

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
        self.origin = np.zeros(n_neurons, dtype=np.float32)
        self._nodes: list[Node] = []

    def start_block(self, first_token: Float32Array) -> None:
        """first_token: activations at the first token that counts of the block's first excerpt, (neurons,).

        Distances are taken from these: far from the mean the sums of powers would cancel to noise.
        """
        self.origin = first_token

    def add(self, first: int, sums: Float32Array) -> None:
        """sums: of excerpts of one block, from position `first` on, (5, excerpts, neurons)."""
        n_added = sums.shape[1]
        add_excerpts(sums, 0, n_added, self._totals)
        end = first + n_added
        if end % BLOCK == 0 or end == self._n_excerpts:
            self._close(first // BLOCK, n_block=(end - 1) % BLOCK + 1)

    def taken(self) -> list[Node]:
        """The nodes of what came since the last call, which ended with a block."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def _close(self, block: int, n_block: int) -> None:
        n_tokens = n_block * self._n_counted
        append(self._nodes, Node(0, block, n_tokens, _central(n_tokens, self.origin, self._totals)))
        self._totals = np.zeros_like(self._totals)


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
        moments = {
            "mean": mean,
            "variance": variance,
            "skewness": m3 / n / (spread * np.sqrt(spread)),
            "kurtosis": m4 / n / (spread * spread),
            "share_active": n_active / n,
        }
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in moments.items()}


def _are_halves(left: Node, right: Node) -> bool:
    return left.level == right.level and left.index % 2 == 0 and right.index == left.index + 1


def _central(n: int, origin: Float32Array, totals: Float64Array) -> Float64Array:
    """Sums of powers of the distances from an origin -> from the mean."""
    n_active, s1, s2, s3, s4 = totals
    with np.errstate(all="ignore"):
        d = s1 / n
        m2 = np.maximum(s2 - d * s1, 0.0)
        m3 = s3 - 3 * d * s2 + 2 * d * d * s1
        m4 = s4 - 4 * d * s3 + 6 * d * d * s2 - 3 * d * d * d * s1
    return np.stack([n_active, origin + d, m2, m3, m4])


def _joined(left: Node, right: Node) -> Node:
    """Source of the formulas: Pébay, SAND2008-6212, equations 2.1 and following."""
    a, b = left.n_tokens, right.n_tokens
    n = a + b
    with np.errstate(all="ignore"):
        d = right.values[1] - left.values[1]
        d2 = d * d
        (_, _, p2, p3, p4), (_, _, q2, q3, q4) = left.values, right.values
        mean = left.values[1] + d * (b / n)
        m2 = p2 + q2 + d2 * (a * b / n)
        m3 = p3 + q3 + d * d2 * (a * b * (a - b) / n**2) + 3 * d * (a * q2 - b * p2) / n
        m4 = p4 + q4 + d2 * d2 * (a * b * (a * a - a * b + b * b) / n**3)
        m4 += 6 * d2 * (a * a * q2 + b * b * p2) / n**2 + 4 * d * (a * q3 - b * p3) / n
    values = np.stack([left.values[0] + right.values[0], mean, m2, m3, m4])
    return Node(max(left.level, right.level) + 1, left.index // 2, n, values)
