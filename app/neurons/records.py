"""Activation records as plain values, which prompts and heatmaps are made from. Knows no database."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Float16Array = npt.NDArray[np.float16]
UInt8Array = npt.NDArray[np.uint8]

TOP = "top"
"""The excerpts with the largest maxima, best first."""
BOTTOM = "bottom"
"""The excerpts with the smallest minima, the most negative first; of neurons with polarity `both`."""
RANDOM = "random"
"""Excerpts drawn for each neuron before anything was seen of it."""
QUANTILE_BANDS = {"q50": (0.0, 0.5), "q90": (0.5, 0.9), "q99": (0.9, 0.99), "q999": (0.99, 0.999)}
"""Excerpts drawn among those whose maximum lies between two quantiles of the excerpts' maxima (the upper one is
outside), the largest maximum first. A band is named after its upper boundary."""
BANDS = (TOP, *reversed(QUANTILE_BANDS), RANDOM, BOTTOM)
"""All of them, as people look at them."""
N_TOP_RECORDS = 20
N_RANDOM_RECORDS = 10
N_BAND_RECORDS = 5

Polarity = Literal["positive", "both"]
POSITIVE: Polarity = "positive"
BOTH: Polarity = "both"
"""What a recording looks for: large activations, or very negative ones too."""

Side = Literal["positive", "negative"]
"""Which end of a neuron's range is looked at or explained."""
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

    cutoff: the boundary above which a token counts as highly activating: the 0.9 quantile of excerpt maxima, estimated
    from the records where an import brought no quantiles.
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
