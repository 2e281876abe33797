"""Activation records as plain values, which prompts and heatmaps are made from. Knows no database."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float16Array = npt.NDArray[np.float16]
UInt8Array = npt.NDArray[np.uint8]

TOP = "top"
RANDOM = "random"
N_TOP_RECORDS = 20
N_RANDOM_RECORDS = 10
LARGEST_DISCRETISED = 10


@dataclass(frozen=True)
class ActivationRecord:
    """One excerpt and one neuron's activation at each of its tokens.

    tokens: text of each token, its own leading space included.
    activations: values after the non-linearity, shape (tokens,), may be negative. Treated as immutable everywhere.
    """

    tokens: tuple[str, ...]
    activations: Float16Array

    @property
    def maximum(self) -> float:
        return float(self.activations.max()) if len(self.activations) else 0.0


@dataclass(frozen=True)
class NeuronRecords:
    """What a neuron responds to: its records by band, best first within `top`.

    cutoff: the boundary above which a token counts as highly activating: the 0.9 quantile of excerpt maxima.
    """

    subject: str
    layer: int
    index: int
    top: tuple[ActivationRecord, ...]
    random: tuple[ActivationRecord, ...]
    cutoff: float


def discretised(activations: Float16Array, maximum: float) -> UInt8Array:
    """Activations as the integers 0-10 that prompts and heatmaps show.

    activations: raw values after the non-linearity, shape (tokens,), may be negative.
    maximum: the largest activation over all excerpts shown for this neuron; at or below 0 gives all zeros.
    Only the maximum itself becomes 10 (floor). Source: Bills et al. 2023; arXiv 2310.06200, section 2.
    """
    if maximum <= 0:
        return np.zeros(len(activations), dtype=np.uint8)
    positive = np.maximum(activations.astype(np.float64), 0.0)
    # Far below the activations a maximum makes infinity of the quotient, and infinity is the largest level as well.
    with np.errstate(over="ignore"):
        scaled = np.floor(LARGEST_DISCRETISED * positive / maximum)
    return np.minimum(scaled, LARGEST_DISCRETISED).astype(np.uint8)
