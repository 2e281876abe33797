"""Makes scores, one row after another: loads the explanation with what its metric needs, has it scored. Knows the
tables and who scores which metric; computes nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.database import Database
from app.explanations import failures
from app.explanations.models import Explanation, Score
from app.explanations.scoring.evidence import Reference, load_evidence, load_reference
from app.explanations.scoring.settings import ADACS
from worker.batches.making import Made
from worker.explaining.chat import CallFailed
from worker.scoring.scored import Evidence, Result


@dataclass(frozen=True)
class AskedScore:
    """An explanation to score. evidence: of all metrics but adacs. reference: of adacs, None where there is none."""

    text: str
    attempt: int
    evidence: Evidence
    reference: Reference | None


Measure = Callable[[AskedScore], Awaitable[Result]]
"""Errors: CallFailed, BatchStopped, BudgetReached."""

NOTHING = Evidence((), (), (), 0.0, 0.0)
"""The evidence of a metric that reads no excerpt."""


class ScoreMaker:
    """Makes the scores of one batch.

    metric: what is measured. measure: by whom. close: gives back what it holds.
    """

    def __init__(
        self,
        database: Database,
        metric: str,
        measure: Measure,
        *,
        reference_explainer: str | None = None,
        n_in_flight: int = 1,
        close: Callable[[], Awaitable[None]] | None = None,
    ):
        self._database = database
        self._metric = metric
        self._measure = measure
        self._reference_explainer = reference_explainer
        self._close = close
        self.n_in_flight = n_in_flight
        # Some scorers make no call at all.
        self.looks_before_calls = False

    async def make(self, row_id: int) -> Made:
        """The score of a row. Errors: BatchStopped, BudgetReached."""
        started = time.perf_counter()
        try:
            asked = await asyncio.to_thread(self._read, row_id)
            result = await self._measure(asked)
        except CallFailed as error:
            return Made(failure=error.failure, failure_detail=error.detail, seconds=time.perf_counter() - started)
        n_excerpts = {"n_top_excerpts": len(asked.evidence.top), "n_random_excerpts": len(asked.evidence.random)}
        details = dict(result.details) if self._metric == ADACS else {**n_excerpts, **result.details}
        return Made(
            values={"value": result.value, "reason": result.reason, "details": details},
            n_prompt_tokens=result.n_prompt_tokens,
            n_completion_tokens=result.n_completion_tokens,
            cost_usd=result.cost_usd,
            seconds=time.perf_counter() - started,
            simulated=result.simulated,
        )

    def _read(self, row_id: int) -> AskedScore:
        with self._database.reading() as session:
            row = session.get_one(Score, row_id)
            explanation = session.get_one(Explanation, row.explanation_id)
            if explanation.text is None:
                raise CallFailed(failures.EMPTY, f"explanation {explanation.id} has no text any more")
            is_adacs = self._metric == ADACS
            return AskedScore(
                explanation.text,
                row.attempt,
                NOTHING if is_adacs else load_evidence(session, explanation),
                load_reference(session, explanation, self._reference_explainer) if is_adacs else None,
            )

    async def close(self) -> None:
        if self._close is not None:
            await self._close()
