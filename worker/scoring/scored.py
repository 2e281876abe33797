"""What a scorer is to this program: an explanation's text and excerpts in, one number or the reason for none out. Knows
no metric and no database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.explanations.scoring.evidence import Evidence, ScoredExcerpt
from worker.batches.making import SimulatedOn

__all__ = ["NO_UNSEEN_TOP", "Evidence", "Result", "ScoredExcerpt", "Scorer"]

NO_UNSEEN_TOP = "no top excerpt that the explainer did not see"
"""Why a score that compares with what a neuron responds to is undefined; random excerpts alone say too little of it."""


@dataclass(frozen=True)
class Result:
    """What scoring one explanation came to.

    value: the score; None where it is undefined, and then `reason` says why.
    details: what a person may want to know of how it came about; values that JSON can hold.
    simulated: predicted activations per excerpt, of metrics that have them.
    n_prompt_tokens, n_completion_tokens: None where nobody counted; of all calls together.
    cost_usd: of the calls made now; 0 for local models and answers paid before, None where a price is unknown.
    """

    value: float | None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    simulated: Sequence[SimulatedOn] = ()
    n_prompt_tokens: int | None = None
    n_completion_tokens: int | None = None
    cost_usd: float | None = None


class Scorer(Protocol):
    """One metric with its settings."""

    async def score(self, text: str, evidence: Evidence, *, attempt: int) -> Result:
        """How well a text describes what the neuron does on the evidence.

        attempt: from 0; a further attempt pays for new answers. Errors: CallFailed, BatchStopped, BudgetReached.
        """
        ...
