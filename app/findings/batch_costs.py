"""Reads what the finished batches of a subject model cost, for Table 7."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import SCORES, Batch
from app.explanations.explainers import NONE
from app.explanations.models import DONE, Explanation, Score
from app.findings.costs import BatchCost
from app.findings.evaluations import metric_title
from app.findings.queries import Rows
from app.neurons.records import POSITIVE


@dataclass(frozen=True)
class Made:
    """What the rows of one batch add up to. n_unpriced: answers whose cost is unknown; n_uncounted: whose tokens."""

    n_neurons: int
    usd: float
    tokens: int
    n_unpriced: int
    n_uncounted: int


@dataclass(frozen=True)
class FinishedBatches:
    """costs: one each. n_partial: finished batches that are left out, for they found a part of what was ordered
    already made: they would look too cheap."""

    costs: tuple[BatchCost, ...]
    n_partial: int


def finished_batches(session: Session, subject_id: int) -> FinishedBatches:
    """Of the positive side, oldest first."""
    query = sa.select(Batch).where(Batch.subject_id == subject_id, Batch.status == DONE).order_by(Batch.id)
    positive = [batch for batch in session.scalars(query) if batch.settings.get("side", POSITIVE) == POSITIVE]
    whole = [batch for batch in positive if not batch.n_reused]
    made = dict(_made(session, [batch.id for batch in whole]))
    costs = tuple(_cost(batch, made[batch.id]) for batch in whole if batch.id in made)
    return FinishedBatches(costs, len(positive) - len(whole))


def _made(session: Session, batch_ids: list[int]) -> Iterator[tuple[int, Made]]:
    explained = _sums(Explanation, Explanation.neuron_id)
    scored = _sums(Score, Explanation.neuron_id).join(Explanation, Score.explanation_id == Explanation.id)
    for query, rows in ((explained, Explanation), (scored, Score)):
        of_these = query.where(rows.batch_id.in_(batch_ids)).group_by(rows.batch_id)
        for batch_id, *sums in session.execute(of_these):
            yield batch_id, Made(*sums)


def _sums(rows: type[Explanation] | type[Score], neuron_id: Any) -> Rows:
    n_tokens = sa.func.coalesce(rows.n_prompt_tokens, 0) + sa.func.coalesce(rows.n_completion_tokens, 0)
    has_answer = sa.or_(rows.status == DONE, rows.n_prompt_tokens.is_not(None))
    return sa.select(
        rows.batch_id,
        sa.func.count(sa.distinct(neuron_id)),
        sa.func.coalesce(sa.func.sum(rows.cost_usd), 0.0),
        sa.cast(sa.func.coalesce(sa.func.sum(n_tokens), 0), sa.BigInteger),
        sa.func.count().filter(has_answer, rows.cost_usd.is_(None)),
        sa.func.count().filter(has_answer, rows.n_prompt_tokens.is_(None)),
    ).select_from(rows)


def _cost(batch: Batch, made: Made) -> BatchCost:
    """The batch's own sums have also the calls whose answer was lost in a crash and taken from the cache later; those
    of batches from before there were such sums are 0."""
    asks_nobody = batch.explainer == NONE
    is_priced, is_counted = asks_nobody or not made.n_unpriced, asks_nobody or not made.n_uncounted
    seconds = None if batch.finished_at is None else (batch.finished_at - batch.created_at).total_seconds()
    metric = metric_title(str(batch.settings.get("metric", "")))
    return BatchCost(
        work=f"Score: {metric}" if batch.kind == SCORES else "Explain",
        model=batch.explainer,
        methods=frozenset(batch.methods),
        n_neurons=made.n_neurons,
        usd=max(batch.spent_usd, made.usd) if is_priced else None,
        tokens=max(batch.spent_tokens, made.tokens) if is_counted else None,
        seconds=seconds,
    )
