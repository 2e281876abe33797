"""The life of a batch of explanations: started, under way, ended. Knows the tables; runs nothing and calls nobody.

A batch goes queued -> running -> done, or ends as cancelled or failed. Its explanations lie in shards of 25, the unit
of work that may be lost and repeated. Explanations that a cancelled or failed batch left queued stay in it, without a
text, until a later batch that asks for the same takes them over; so nothing that was under way at the cancelling is
lost.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import CANCELLED, RUNNING, Batch
from app.database import utc_now
from app.errors import Conflict, UnknownName
from app.explanations.models import DONE, FAILED, QUEUED, Explanation


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    n_explanations: to be made by this batch. n_reused: asked for, but made before or being made by another batch.
    n_queued, n_done, n_failed: of this batch's explanations. n_taken_over: those that a later batch has taken from it.
    failures: how many failed for which reason, the most frequent first.
    n_prompt_tokens, n_completion_tokens: of all calls whose server counts them.
    cost_usd: None while the price of any finished explanation is unknown.
    seconds: spent waiting for the explainer, summed over calls, also over those that ran side by side.
    """

    status: str
    n_explanations: int
    n_reused: int
    n_queued: int
    n_done: int
    n_failed: int
    n_taken_over: int
    failures: dict[str, int]
    n_prompt_tokens: int
    n_completion_tokens: int
    cost_usd: float | None
    seconds: float

    @property
    def n_to_make(self) -> int:
        """What this batch has made or has yet to make."""
        return self.n_explanations - self.n_taken_over


def batch_progress(session: Session, batch_id: int) -> BatchProgress:
    """Errors: UnknownName."""
    batch = find_batch(session, batch_id)
    rows = _progress_rows(session, batch_id)
    by_status: Counter[str] = Counter()
    for row in rows:
        by_status[row.status] += row.n
    failures = {row.failure: row.n for row in sorted(rows, key=lambda row: (-row.n, row.failure or "")) if row.failure}
    has_unknown_cost = any(row.status == DONE and row.n_with_cost < row.n for row in rows)
    return BatchProgress(
        status=batch.status,
        n_explanations=batch.n_explanations,
        n_reused=batch.n_reused,
        n_queued=by_status[QUEUED],
        n_done=by_status[DONE],
        n_failed=by_status[FAILED],
        n_taken_over=batch.n_explanations - by_status.total(),
        failures=failures,
        n_prompt_tokens=sum(row.n_prompt_tokens or 0 for row in rows),
        n_completion_tokens=sum(row.n_completion_tokens or 0 for row in rows),
        cost_usd=None if has_unknown_cost else sum(row.cost_usd or 0.0 for row in rows),
        seconds=sum(row.seconds or 0.0 for row in rows),
    )


def _progress_rows(session: Session, batch_id: int) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    return session.execute(
        sa.select(
            Explanation.status,
            Explanation.failure,
            sa.func.count().label("n"),
            sa.func.count(Explanation.cost_usd).label("n_with_cost"),
            sa.func.sum(Explanation.n_prompt_tokens).label("n_prompt_tokens"),
            sa.func.sum(Explanation.n_completion_tokens).label("n_completion_tokens"),
            sa.func.sum(Explanation.cost_usd).label("cost_usd"),
            sa.func.sum(Explanation.seconds).label("seconds"),
        )
        .where(Explanation.batch_id == batch_id)
        .group_by(Explanation.status, Explanation.failure)
    ).all()


def find_batch(session: Session, batch_id: int) -> Batch:
    """Errors: UnknownName."""
    batch = session.get(Batch, batch_id)
    if batch is None:
        raise UnknownName(f"no batch {batch_id}")
    return batch


def queued_batch_ids(session: Session) -> list[int]:
    """Batches that no worker has begun, oldest first."""
    return list(session.scalars(sa.select(Batch.id).where(Batch.status == QUEUED).order_by(Batch.id)))


def start_batch(session: Session, batch_id: int) -> int:
    """Sets a queued batch running; returns how many shards to work on, 0 when the batch has ended already."""
    session.execute(sa.update(Batch).where(Batch.id == batch_id, Batch.status == QUEUED).values(status=RUNNING))
    batch = find_batch(session, batch_id)
    return batch.n_shards if batch.status == RUNNING else 0


def finish_batch_if_complete(session: Session, batch_id: int) -> bool:
    """Sets a running batch done when none of its explanations is queued any more; whether this call did it."""
    is_unfinished = sa.exists().where(Explanation.batch_id == batch_id, Explanation.status == QUEUED)
    return _end(session, batch_id, ~is_unfinished, status=DONE, from_status=[RUNNING])


def fail_batch(session: Session, batch_id: int, reason: str) -> bool:
    """Ends a batch that cannot go on at all, for a reason said in one sentence; False when it has ended already."""
    return _end(session, batch_id, sa.true(), status=FAILED, from_status=[QUEUED, RUNNING], failure=reason)


def cancel_batch(session: Session, batch_id: int) -> None:
    """Ends a batch at once; what is done stays. Cancelling twice changes nothing.

    Errors: UnknownName; Conflict when the batch is done or failed.
    """
    if _end(session, batch_id, sa.true(), status=CANCELLED, from_status=[QUEUED, RUNNING]):
        return
    status = find_batch(session, batch_id).status
    if status != CANCELLED:
        raise Conflict(f"batch {batch_id} is {status} and cannot be cancelled")


def _end(
    session: Session,
    batch_id: int,
    condition: sa.ColumnElement[bool],
    *,
    status: str,
    from_status: list[str],
    failure: str | None = None,
) -> bool:
    ended = session.execute(
        sa.update(Batch)
        .where(Batch.id == batch_id, Batch.status.in_(from_status), condition)
        .values(status=status, failure=failure, finished_at=utc_now())
        .returning(Batch.id)
    )
    return ended.first() is not None


def is_running(session: Session, batch_id: int) -> bool:
    return session.scalar(sa.select(Batch.status).where(Batch.id == batch_id)) == RUNNING


def queued_of_shard(session: Session, batch_id: int, shard: int) -> Sequence[Explanation]:
    """What a shard still lacks, one method after another, so that a local model reads a method's examples once."""
    return session.scalars(
        sa.select(Explanation)
        .where(Explanation.batch_id == batch_id, Explanation.shard == shard, Explanation.status == QUEUED)
        .order_by(Explanation.method, Explanation.id)
    ).all()
