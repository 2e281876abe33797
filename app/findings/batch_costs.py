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
    """What the rows of one batch add up to. settings: the prompt pack with its options, or the scorer's name.

    n_neurons: with a done row. n_pairs: neurons and methods with one; n_done: done rows. n_unpriced: answers whose cost
    is unknown; n_uncounted: whose tokens. n_negative: rows about the negative side.
    """

    settings: str
    n_neurons: int
    n_pairs: int
    n_done: int
    usd: float
    tokens: int
    n_unpriced: int
    n_uncounted: int
    n_negative: int


@dataclass(frozen=True)
class FinishedBatches:
    """costs: one each. n_partial: finished batches that are left out, for they found a part of what was ordered
    already made: they would look too cheap. n_negative: those that are left out, for they are about the negative side,
    or about both."""

    costs: tuple[BatchCost, ...]
    n_partial: int
    n_negative: int


def finished_batches(session: Session, subject_id: int) -> FinishedBatches:
    """Of the positive side, oldest first; those of which nothing came are not there."""
    query = sa.select(Batch).where(Batch.subject_id == subject_id, Batch.status == DONE).order_by(Batch.id)
    batches = session.scalars(query).all()
    made = dict(_made(session, [batch.id for batch in batches]))
    positive = [batch for batch in batches if _is_positive(batch, made.get(batch.id))]
    whole = [batch for batch in positive if not batch.n_reused]
    costs = tuple(_cost(batch, made[batch.id]) for batch in whole if batch.id in made and made[batch.id].n_done)
    return FinishedBatches(costs, len(positive) - len(whole), len(batches) - len(positive))


def _is_positive(batch: Batch, made: Made | None) -> bool:
    return batch.settings.get("side", POSITIVE) == POSITIVE and (made is None or not made.n_negative)


def _made(session: Session, batch_ids: list[int]) -> Iterator[tuple[int, Made]]:
    # Explanations without a prompt are stored under another pack; the batch's own is that of its prompts.
    pack = sa.case((Explanation.explainer == NONE, None), else_=Explanation.prompt_pack)
    explained = sa.select(*_of_pairs(Explanation, pack)).select_from(Explanation)
    scored = sa.select(*_of_pairs(Score, Score.scorer)).join_from(Score, Explanation)
    for query, rows in ((explained, Explanation), (scored, Score)):
        pairs = query.where(rows.batch_id.in_(batch_ids)).group_by(
            rows.batch_id, Explanation.neuron_id, Explanation.method
        )
        for batch_id, *sums in session.execute(_of_batches(pairs.subquery())):
            yield batch_id, Made(*sums)


def _of_pairs(rows: type[Explanation] | type[Score], settings: Any) -> list[sa.ColumnElement[Any]]:
    """What the rows of one neuron and method in a batch add up to."""
    n_tokens = sa.func.coalesce(rows.n_prompt_tokens, 0) + sa.func.coalesce(rows.n_completion_tokens, 0)
    has_answer = sa.or_(rows.status == DONE, rows.n_prompt_tokens.is_not(None))
    return [
        sa.type_coerce(rows.batch_id, sa.Integer).label("batch_id"),
        Explanation.neuron_id.label("neuron_id"),
        sa.func.max(settings).label("settings"),
        sa.func.count().filter(rows.status == DONE).label("n_done"),
        sa.func.coalesce(sa.func.sum(rows.cost_usd), 0.0).label("usd"),
        sa.func.sum(n_tokens).label("tokens"),
        sa.func.count().filter(has_answer, rows.cost_usd.is_(None)).label("n_unpriced"),
        sa.func.count().filter(has_answer, rows.n_prompt_tokens.is_(None)).label("n_uncounted"),
        sa.func.count().filter(Explanation.side != POSITIVE).label("n_negative"),
    ]


def _of_batches(pairs: sa.Subquery) -> Rows:
    is_done = pairs.c.n_done > 0
    sums = (pairs.c.n_done, pairs.c.usd, pairs.c.tokens, pairs.c.n_unpriced, pairs.c.n_uncounted, pairs.c.n_negative)
    n_done, usd, *counts = (sa.func.sum(each) for each in sums)
    return sa.select(
        pairs.c.batch_id,
        sa.func.coalesce(sa.func.max(pairs.c.settings), ""),
        sa.func.count(sa.distinct(pairs.c.neuron_id)).filter(is_done),
        sa.func.count().filter(is_done),
        sa.cast(n_done, sa.BigInteger),
        usd,
        *(sa.cast(each, sa.BigInteger) for each in counts),
    ).group_by(pairs.c.batch_id)


def _cost(batch: Batch, made: Made) -> BatchCost:
    """The batch's own sums have also the calls whose answer was lost in a crash and taken from the cache later; those
    of batches from before there were such sums are 0."""
    asks_nobody = batch.explainer == NONE
    is_priced, is_counted = asks_nobody or not made.n_unpriced, asks_nobody or not made.n_uncounted
    # A batch that went on after a pause, or was asked again for its failures, stood still for nobody knows how long.
    ended_at = batch.finished_at if batch.submission == 0 else None
    seconds = None if ended_at is None else (ended_at - batch.created_at).total_seconds()
    metric = metric_title(str(batch.settings.get("metric", "")))
    return BatchCost(
        work=f"Score: {metric}" if batch.kind == SCORES else "Explain",
        model=batch.explainer,
        settings=made.settings,
        methods=frozenset(batch.methods),
        n_neurons=made.n_neurons,
        n_each=made.n_done / made.n_pairs,
        usd=max(batch.spent_usd, made.usd) if is_priced else None,
        tokens=max(batch.spent_tokens, made.tokens) if is_counted else None,
        seconds=seconds,
    )
