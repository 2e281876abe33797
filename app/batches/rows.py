"""The rows that a batch makes, explanations or scores: which are lacking, and how one is put back into the queue."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import RUNNING, SCORES, Batch
from app.explanations.models import FAILED, QUEUED, Explanation, Score

Row = Explanation | Score

_ASKED_AGAIN: dict[str, Any] = {
    "status": QUEUED,
    "failure": None,
    "failure_detail": None,
    "n_prompt_tokens": None,
    "n_completion_tokens": None,
    "cost_usd": None,
    "seconds": None,
    "finished_at": None,
}
BACK_IN_QUEUE: dict[type[Row], dict[str, Any]] = {
    Explanation: {**_ASKED_AGAIN, "text_received": None, "text": None},
    Score: {**_ASKED_AGAIN, "value": None, "reason": None, "details": {}},
}
"""Columns of a row that is asked for again. One that had failed gets `attempt` + 1 beside these."""


def row_type(kind: str) -> type[Row]:
    """kind: of a batch."""
    return Score if kind == SCORES else Explanation


def shards_with_queued_rows(session: Session, batch: Batch) -> list[int]:
    table = row_type(batch.kind)
    query = sa.select(table.shard).where(table.batch_id == batch.id, table.status == QUEUED)
    return [shard for shard in session.scalars(query.distinct().order_by(table.shard)) if shard is not None]


def queued_rows_of_shard(session: Session, batch: Batch, shard: int) -> list[int]:
    """Ids of what a shard still lacks, one method after another, so that a local model reads a method's examples
    once."""
    table = row_type(batch.kind)
    order = (Explanation.method, Explanation.id) if table is Explanation else (Score.id,)
    query = sa.select(table.id).where(table.batch_id == batch.id, table.shard == shard, table.status == QUEUED)
    return list(session.scalars(query.order_by(*order)))


def _to_be_made(table: type[Row]) -> sa.Select[Any]:
    # Built once, for it is asked before every row: putting a statement together takes longer than running it.
    return (
        sa.select(table.id)
        .join(Batch, Batch.id == table.batch_id)
        .where(
            table.id == sa.bindparam("row_id"),
            table.status == QUEUED,
            Batch.id == sa.bindparam("batch_id"),
            Batch.status == RUNNING,
            Batch.submission == sa.bindparam("submission"),
        )
    )


_TO_BE_MADE: dict[type[Row], sa.Select[Any]] = {table: _to_be_made(table) for table in BACK_IN_QUEUE}


def is_to_be_made(session: Session, batch_id: int, kind: str, submission: int, row_id: int) -> bool:
    """Whether a row is still lacking, and this submission of the batch still running."""
    asked = {"row_id": row_id, "batch_id": batch_id, "submission": submission}
    return session.scalar(_TO_BE_MADE[row_type(kind)], asked) is not None


def failed_back_in_queue(session: Session, batch: Batch, reasons: list[str] | None) -> int:
    """Puts failed rows of a batch back into their shards, as if new; returns how many. reasons: None takes all."""
    table = row_type(batch.kind)
    of_reasons = sa.true() if reasons is None else table.failure.in_(reasons)
    back = session.execute(
        sa.update(table)
        .where(table.batch_id == batch.id, table.status == FAILED, of_reasons)
        .values(**BACK_IN_QUEUE[table], attempt=table.attempt + 1)
        .returning(table.id)
        .execution_options(synchronize_session=False)
    )
    return len(back.all())
