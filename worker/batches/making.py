"""What a shard asks for and gets: one row's result, from a maker. Knows neither what is made nor where it is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SimulatedOn:
    """What a simulator expected on one excerpt.

    expected: shape (tokens,), before any calibration.
    correlation: with the true activations of this excerpt, in [-1, 1]; None where it is undefined.
    """

    excerpt_id: int
    expected: Float32Array
    correlation: float | None


@dataclass(frozen=True)
class Made:
    """What came of one row.

    values: the row's own columns: text and text_received of an explanation; value, reason and details of a score.
    failure: a reason out of `app.explanations.failures`; None when the row is done.
    n_prompt_tokens, n_completion_tokens: None where nobody counted.
    cost_usd: of the calls made now; 0 for local models and for answers paid before; None where no price is known.
    simulated: scores only.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    failure_detail: str | None = None
    n_prompt_tokens: int | None = None
    n_completion_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float = 0.0
    simulated: Sequence[SimulatedOn] = ()


class Maker(Protocol):
    """Makes the rows of one batch; all shards of the batch that a worker has share it.

    n_in_flight: how many rows it can usefully make at the same time.
    looks_before_calls: whether each of its calls looks for itself if the batch is still to be worked on, so that nobody
    else has to before each row.
    """

    n_in_flight: int
    looks_before_calls: bool

    async def make(self, row_id: int) -> Made:
        """Loads the row by itself and makes it. A call that fails is the row's failure.

        Errors: BatchStopped when the batch is no longer running; BudgetReached.
        """
        ...

    async def close(self) -> None:
        """Gives back what it holds: a client, a model."""
        ...
