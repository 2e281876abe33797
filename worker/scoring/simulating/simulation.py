"""What a simulator is to a score: an explanation's text and tokens in, an expected value for each token out. Knows no
true activation of the excerpts it predicts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from app.explanations.scoring.simulating.examples import Excerpt
from worker.batches.making import Float32Array
from worker.scoring.calls import Spent


@dataclass(frozen=True)
class Simulation:
    """What a simulator made of one explanation.

    expected: one array per excerpt, shape (tokens,), on the scale 0-10; None where nothing can be predicted, and then
    `reason` says why. Missing predictions are never zeros.
    details: how it was read, values that JSON can hold.
    """

    expected: tuple[Float32Array, ...] | None
    reason: str | None = None
    spent: Spent = field(default_factory=Spent)
    details: Mapping[str, Any] = field(default_factory=dict)


class Simulator(Protocol):
    """One way to simulate, with a model to do it."""

    async def simulate(self, text: str, excerpts: Sequence[Excerpt], *, attempt: int) -> Simulation:
        """Predicts a neuron that `text` describes. Errors: CallFailed, BatchStopped, BudgetReached."""
        ...


def expected_value(weights: Sequence[float]) -> float:
    """The mean of 0, 1, 2, ... by their weights, which need not add up to 1 but to more than 0."""
    total = float(np.sum(weights))
    return float(np.dot(np.arange(len(weights)), weights)) / total
