"""How others record, in short: what the benchmark of recording is compared with, on the same activations.

Each keeps at least the top records of every neuron with their activations, exactly; none of them resumes or merges.
"""

from collections.abc import Callable
from typing import Protocol

import torch

Observe = Callable[[int, torch.Tensor], None]
N_TOP = 20


class OtherWay(Protocol):
    name: str

    def observe(self, layer: int, activations: torch.Tensor) -> None: ...


class ConcatenatedTopK:
    """The best so far and the whole batch in one dense buffer per layer, of which the best are taken again."""

    name = "top-k over a concatenated dense buffer"

    def __init__(self, n_layers: int) -> None:
        self._kept: list[torch.Tensor | None] = [None] * n_layers

    def observe(self, layer: int, activations: torch.Tensor) -> None:
        """activations: (excerpts, tokens, neurons)."""
        kept = self._kept[layer]
        both = activations if kept is None else torch.cat([kept, activations])
        best = both.amax(dim=1).topk(min(N_TOP, len(both)), dim=0).indices
        self._kept[layer] = both.gather(0, best[:, None, :].expand(-1, both.shape[1], -1))


class AllNonZeros:
    """Every activation that is not zero, with its place; the best are looked for afterwards, which is not timed."""

    name = "keeping all non-zeros"

    def __init__(self, n_layers: int) -> None:
        self.n_bytes = 0

    def observe(self, layer: int, activations: torch.Tensor) -> None:
        places = activations.nonzero()
        values = activations[places[:, 0], places[:, 1], places[:, 2]].half()
        # Written to a disk by who records so; here only counted, as the memory would not hold it.
        self.n_bytes += places.int().nbytes + values.nbytes


class LayerReached(Exception):
    """Raised to end a forward pass at the layer that it was made for."""
