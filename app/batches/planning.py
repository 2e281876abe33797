"""Plans a batch: which explanations are lacking, and in which shard each is made. Runs nothing and calls nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.lacking import (
    CheckedOrder,
    checked_order,
    existing_explanations,
    explanation_key,
    lacking_explanations,
)
from app.batches.life import finish_taken_over
from app.batches.models import EXPLANATIONS, Batch
from app.batches.prices import check_budget, priced
from app.batches.rows import BACK_IN_QUEUE
from app.database import utc_now
from app.explanations.explainers import ExplainerSettings
from app.explanations.models import DONE, QUEUED, Explanation
from app.neurons.models import SubjectModel
from app.neurons.sets import save_set

__all__ = ["SHARD_SIZE", "SetToSave", "explanation_key", "lock_subject", "plan_batch"]

SHARD_SIZE = 25


@dataclass(frozen=True)
class SetToSave:
    """A name for the neurons of a batch. chosen: how they were chosen, as app.neurons.sets keeps it."""

    name: str
    chosen: Mapping[str, Any]


def plan_batch(
    session: Session,
    *,
    subject_name: str,
    neurons: Sequence[int],
    methods: Sequence[str],
    explainer: str,
    settings: ExplainerSettings,
    samples: int = 1,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    save_as: SetToSave | None = None,
) -> Batch:
    """Stores a batch that makes each explanation asked for, unless it exists; it is done at once when all do.

    neurons: ids, all of the subject. methods: `tokens` needs no explainer and may stand beside prompt methods.
    samples: how many explanations of each neuron by each method, numbered from 0.
    budget_usd, budget_tokens: what the batch may spend at most; None: no bound. The price of today goes with it.
    save_as: saves the neurons as a set, also when every explanation exists.
    What exists is reused whatever the temperature it was sampled at; another prompt pack, explainer, side, cutoff or
    choice of excerpts makes another explanation. Failed explanations are asked for again, and move into this batch.
    Errors: as checked_order, check_budget and save_set.
    """
    order = checked_order(
        session,
        subject_name=subject_name,
        neurons=neurons,
        methods=methods,
        explainer=explainer,
        settings=settings,
        samples=samples,
    )
    lock_subject(session, order.subject)
    settings = priced(session, order.explainer, settings, utc_now().date())
    check_budget(order.explainer, settings, budget_usd, budget_tokens)
    if save_as is not None:
        save_set(session, order.subject, save_as.name, order.neuron_ids, save_as.chosen)
    batch = Batch(
        subject_id=order.subject.id,
        methods=list(order.methods),
        explainer=str(order.explainer),
        settings=settings.model_dump(mode="json"),
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        n_explanations=0,
        n_shards=0,
    )
    session.add(batch)
    session.flush()
    _enqueue(session, batch, order)
    return batch


def lock_subject(session: Session, subject: SubjectModel) -> None:
    """Makes two plans for one subject wait for each other: both would add the same rows."""
    session.execute(sa.select(SubjectModel.id).where(SubjectModel.id == subject.id).with_for_update())


def _enqueue(session: Session, batch: Batch, order: CheckedOrder) -> None:
    """Puts what is lacking into the batch's shards: new rows, and rows of earlier batches that came to nothing."""
    keys = {method: explanation_key(method, order.explainer, order.settings) for method in order.methods}
    existing = existing_explanations(session, order)
    lacking = lacking_explanations(order, existing)
    new_rows: list[dict[str, Any]] = []
    moved_rows: list[dict[str, Any]] = []
    for position, one in enumerate(lacking):
        place = {"batch_id": batch.id, "shard": position // SHARD_SIZE}
        if one in existing:
            moved_rows.append({"of_id": existing[one].id, "failures": int(existing[one].has_failed), **place})
        else:
            explainer, prompt_pack = keys[one.method]
            new_rows.append(
                {
                    "neuron_id": one.neuron_id,
                    "method": one.method,
                    "explainer": explainer,
                    "prompt_pack": prompt_pack,
                    "side": order.settings.side,
                    "sample_number": one.sample_number,
                    "status": QUEUED,
                    **place,
                }
            )
    if new_rows:
        session.execute(sa.insert(Explanation), new_rows)
    if moved_rows:
        _move(session, moved_rows)
        finish_taken_over(session, batch.subject_id, EXPLANATIONS)
    n_asked_for = len(order.methods) * len(order.neuron_ids) * order.n_samples
    batch.n_explanations = len(lacking)
    batch.n_reused = n_asked_for - len(lacking)
    batch.n_shards = -(-len(lacking) // SHARD_SIZE)
    if not lacking:
        batch.status, batch.finished_at = DONE, utc_now()
    session.flush()


def _move(session: Session, rows: list[dict[str, Any]]) -> None:
    """Into the new batch, as if new; but what has failed is another attempt, which never gets the answer of before."""
    move = (
        sa.update(Explanation)
        .where(Explanation.id == sa.bindparam("of_id"))
        .values(
            **BACK_IN_QUEUE[Explanation],
            batch_id=sa.bindparam("batch_id"),
            shard=sa.bindparam("shard"),
            attempt=Explanation.attempt + sa.bindparam("failures"),
        )
    )
    session.connection().execute(move, rows)
    session.expire_all()
