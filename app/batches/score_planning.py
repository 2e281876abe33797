"""Plans a batch of scores: which are lacking, and in which shard each is made. Runs nothing and calls nobody."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.lacking_scores import ScoreOrder, WantedScores, wanted_scores
from app.batches.life import finish_taken_over
from app.batches.models import SCORES, Batch
from app.batches.ordering import LONGEST_CHOICE
from app.batches.planning import SHARD_SIZE, lock_subject
from app.batches.prices import check_budget, priced
from app.batches.rows import BACK_IN_QUEUE
from app.database import utc_now
from app.errors import InvalidInput
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.models import DONE, QUEUED, Score
from app.explanations.scoring.settings import ScorerSettings, scoring_model, takes_tokens
from app.neurons.reading import subject_named


def plan_scores(session: Session, order: ScoreOrder) -> Batch:
    """Stores a batch that makes each score asked for, unless it exists; it is done at once when all do.

    Failed scores, and those that a server did not support, are asked for again as another attempt, and move into this
    batch. The price of today goes with it.
    Errors: as wanted_scores and check_budget.
    """
    lock_subject(session, subject_named(session, order.subject_name))
    wanted = wanted_scores(session, order)
    who = scoring_model(wanted.model) or NO_EXPLAINER
    settings = priced(session, who, wanted.settings, utc_now().date()).model_copy(
        update={"ordered_for": _ordered_for(order)}
    )
    check_score_budget(order, wanted, settings)
    batch = Batch(
        kind=SCORES,
        subject_id=wanted.subject.id,
        methods=list(wanted.methods),
        explainer=wanted.model,
        settings=settings.model_dump(mode="json"),
        budget_usd=order.budget_usd,
        budget_tokens=order.budget_tokens,
        n_explanations=len(wanted.lacking),
        n_reused=wanted.n_reused,
        n_shards=-(-len(wanted.lacking) // SHARD_SIZE),
        remark=_remark(wanted),
    )
    if not wanted.lacking:
        batch.status, batch.finished_at = DONE, utc_now()
    session.add(batch)
    session.flush()
    _enqueue(session, batch, order.settings.metric, wanted)
    return batch


def check_score_budget(order: ScoreOrder, wanted: WantedScores, settings: ScorerSettings) -> None:
    """settings: with the price of today.

    Errors: as check_budget; InvalidInput for any budget where nothing is counted that it could bound.
    """
    bound = order.budget_usd if order.budget_tokens is None else order.budget_tokens
    if bound is not None and not takes_tokens(settings, wanted.model):
        raise InvalidInput(
            f"budget of {bound:g} for scores by {wanted.scorer}: they are computed on the worker's machine, which "
            "takes no counted tokens and no money; expected no budget"
        )
    check_budget(scoring_model(wanted.model) or NO_EXPLAINER, settings, order.budget_usd, order.budget_tokens)


def _enqueue(session: Session, batch: Batch, metric: str, wanted: WantedScores) -> None:
    """Puts what is lacking into the batch's shards: new rows, and rows of earlier batches that came to nothing."""
    new_rows: list[dict[str, Any]] = []
    moved_rows: list[dict[str, Any]] = []
    for position, one in enumerate(wanted.lacking):
        place = {"batch_id": batch.id, "shard": position // SHARD_SIZE}
        if one.score_id is not None:
            moved_rows.append({"of_id": one.score_id, "new_answers": int(one.needs_new_answers), **place})
        else:
            names = {"metric": metric, "scorer": wanted.scorer, "status": QUEUED, "details": {}}
            new_rows.append({"explanation_id": one.explanation_id, **names, **place})
    if new_rows:
        session.execute(sa.insert(Score), new_rows)
    if moved_rows:
        _move(session, moved_rows)
        finish_taken_over(session, batch.subject_id, SCORES)


def _move(session: Session, rows: list[dict[str, Any]]) -> None:
    """Into the new batch, as if new; but where the answers of before came to nothing it is another attempt, which never
    gets the same ones."""
    move = (
        sa.update(Score)
        .where(Score.id == sa.bindparam("of_id"))
        .values(
            **BACK_IN_QUEUE[Score],
            batch_id=sa.bindparam("batch_id"),
            shard=sa.bindparam("shard"),
            attempt=Score.attempt + sa.bindparam("new_answers"),
        )
    )
    session.connection().execute(move, rows)
    session.expire_all()


def _ordered_for(order: ScoreOrder) -> str | None:
    """Which explanations, as far as the methods do not say it; for people to read."""
    parts = [
        f"neurons of the set {order.neuron_set}" if order.neuron_set else "",
        f"explanations by {', '.join(order.explainers)}" if order.explainers else "",
    ]
    return "; ".join(part for part in parts if part)[:LONGEST_CHOICE] or None


def _remark(wanted: WantedScores) -> str | None:
    n = wanted.n_without_activations
    if n == 0:
        return None
    return f"{'1 explanation' if n == 1 else f'{n} explanations'} of neurons without stored activations: left out."
