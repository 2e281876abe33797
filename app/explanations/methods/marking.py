"""Which tokens are highly activating: the one place that decides it, for every method."""

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from app.errors import InvalidInput
from app.explanations.methods.prompt import ShownNeuron
from app.neurons.records import ActivationRecord, discretised

BoolArray = npt.NDArray[np.bool_]

FEW_SHOT_CUTOFF = 1.0
"""The cutoff of few-shot neurons and puzzles, which come without a quantile."""

CUTOFF_QUANTILES = {"q50": 0.5, "q90": 0.9, "q99": 0.99, "q999": 0.999}
DEFAULT_CUTOFF = "q90"
_SHARE = re.compile(r"share:(0?\.[0-9]{1,4})")


@dataclass(frozen=True)
class CutoffRule:
    """Where the cutoff of the neuron to explain lies; those of few-shot neurons stay where they are.

    quantile: a name out of CUTOFF_QUANTILES: that quantile of its excerpts' maxima; None with a share.
    share: of the largest activation that the prompt shows, above 0 and below 1; None with a quantile.
    """

    quantile: str | None = DEFAULT_CUTOFF
    share: float | None = None

    def __str__(self) -> str:
        return self.quantile or f"share:{self.share:g}"


def parse_cutoff(text: str) -> CutoffRule:
    """`q90`, `q99`, ... or `share:0.5`. Errors: InvalidInput."""
    if text in CUTOFF_QUANTILES:
        return CutoffRule(text)
    share = _SHARE.fullmatch(text)
    if share is None or float(share[1]) == 0:
        raise InvalidInput(f"cutoff {text!r}; expected {', '.join(CUTOFF_QUANTILES)} or share:X with 0 < X < 1")
    return CutoffRule(None, float(share[1]))


class Marking(Enum):
    ABOVE_CUTOFF = "raw activation strictly above the cutoff"
    A_TENTH_OF_MAXIMUM = "discretised activation above 0"


def highly_activating(record: ActivationRecord, shown: ShownNeuron, marking: Marking) -> BoolArray:
    """Which tokens of a record count as highly activating, shape (tokens,).

    Original lists every token with its value 0-10 and marks none.
    Summary, Highlight, HS and the baseline Tokens mark a raw activation strictly above the cutoff: of the neuron to
    explain, its 0.9 quantile boundary, unless a batch asks for another CutoffRule; of few-shot neurons and puzzles,
    1.0. AVHS marks a discretised activation above 0, which is at least a tenth of the maximum M over the excerpts
    shown; a few-shot neuron has its own M.

    The 0.9 quantile is taken over the MAXIMA of excerpts (one number per excerpt), not over tokens, so that of 64
    tokens usually one to three are marked. The paper words it as "90% quantile or above"; its code compares strictly,
    and so does this.
    Source: arXiv 2310.06200 and its published code.
    """
    if marking is Marking.A_TENTH_OF_MAXIMUM:
        return discretised(record.activations, shown.maximum) > 0
    # numpy would round the cutoff to float16 before comparing; as float64 both sides keep their value.
    return record.activations.astype(np.float64) > shown.cutoff
