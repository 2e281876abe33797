"""The explanations of one neuron with their scores, as its page shows them to admins and researchers. Raters never
reach that page."""

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.methods import method_title, table_order
from app.explanations.models import DONE, FAILED, QUEUED, Explanation, Score
from app.explanations.scoring.settings import METRIC_TITLES
from app.neurons.contexts import ExplanationBeside, MethodBeside, ScoreBeside

# By its name: batches lie above this layer.
_BATCH = sa.table("batch", sa.column("id", sa.Integer), sa.column("status", sa.String))


def _is_finished_or_to_be_made(row: type[Explanation] | type[Score]) -> sa.ColumnElement[bool]:
    """Without what a cancelled or failed batch left queued: nobody makes that any more."""
    has_ended = sa.exists().where(_BATCH.c.id == row.batch_id, _BATCH.c.status.in_(("cancelled", "failed")))
    return sa.or_(row.status != QUEUED, ~has_ended)


def explanations_beside(session: Session, neuron_id: int) -> tuple[MethodBeside, ...]:
    """What was said of this neuron, of either side: methods in the paper's order, each with its explainers by name;
    queued ones included."""
    rows = session.execute(
        sa.select(
            Explanation.id,
            Explanation.method,
            Explanation.explainer,
            Explanation.prompt_pack,
            Explanation.side,
            Explanation.sample_number,
            Explanation.status,
            Explanation.text,
            Explanation.failure,
        )
        .where(Explanation.neuron_id == neuron_id, _is_finished_or_to_be_made(Explanation))
        .order_by(Explanation.explainer, Explanation.prompt_pack, Explanation.side.desc(), Explanation.sample_number)
    ).all()
    scores = _scores(session, neuron_id) if rows else {}
    return tuple(
        MethodBeside(
            method,
            method_title(method),
            tuple(_beside(row, tuple(scores.get(row.id, ()))) for row in rows if row.method == method),
        )
        for method in sorted({row.method for row in rows}, key=table_order)
    )


def _scores(session: Session, neuron_id: int) -> dict[int, list[ScoreBeside]]:
    """By explanation, its metrics by name; queued and failed ones included."""
    rows = session.execute(
        sa.select(Score.explanation_id, Score.id, Score.metric, Score.scorer, Score.value, Score.reason, Score.failure)
        .join(Explanation, Explanation.id == Score.explanation_id)
        .where(Explanation.neuron_id == neuron_id, _is_finished_or_to_be_made(Score))
        .order_by(Score.metric, Score.scorer)
    )
    scores: dict[int, list[ScoreBeside]] = defaultdict(list)
    for explanation_id, score_id, metric, scorer, value, reason, failure in rows:
        title = METRIC_TITLES.get(metric, metric)
        scores[explanation_id].append(ScoreBeside(score_id, metric, title, scorer, value, reason, failure))
    return scores


def _beside(row: sa.Row[*tuple[Any, ...]], scores: tuple[ScoreBeside, ...]) -> ExplanationBeside:
    return ExplanationBeside(
        explainer=row.explainer,
        prompt_pack=row.prompt_pack,
        side=row.side,
        sample_number=row.sample_number,
        text=row.text if row.status == DONE else None,
        failure=row.failure if row.status == FAILED else None,
        scores=scores,
    )
