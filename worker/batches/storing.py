"""Stores what came of a row: its own columns, and the simulated excerpts of a score. Knows no maker."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.rows import Row, row_type
from app.database import Base, utc_now
from app.explanations.models import DONE, FAILED, QUEUED, Explanation, Score, SimulatedExcerpt
from worker.batches.making import Made

STORED_EXPECTED = "<f4"


def _update_of(table: type[Row]) -> sa.Update:
    # Built once: putting a statement together takes longer than running it.
    plain = Base.metadata.tables[table.__tablename__]
    return (
        sa.update(plain)
        .where(
            plain.c.id == sa.bindparam("row_id"),
            plain.c.status == QUEUED,
            plain.c.batch_id == sa.bindparam("of_batch_id"),
        )
        .returning(plain.c.id)
    )


_UPDATE: dict[type[Row], sa.Update] = {table: _update_of(table) for table in (Explanation, Score)}


def store_made(session: Session, batch_id: int, kind: str, row_id: int, made: Made) -> bool:
    """Whether it was stored: a row that has a result already, or that a later batch has taken over, stays as it is."""
    values: dict[str, Any] = {
        **made.values,
        "status": DONE if made.failure is None else FAILED,
        "failure": made.failure,
        "failure_detail": made.failure_detail,
        "n_prompt_tokens": made.n_prompt_tokens,
        "n_completion_tokens": made.n_completion_tokens,
        "cost_usd": made.cost_usd,
        "seconds": made.seconds,
        "finished_at": utc_now(),
    }
    stored = session.execute(_UPDATE[row_type(kind)].values(values), {"row_id": row_id, "of_batch_id": batch_id})
    if stored.first() is None:
        return False
    session.add_all(
        SimulatedExcerpt(
            score_id=row_id,
            rank=rank,
            excerpt_id=simulated.excerpt_id,
            expected=simulated.expected.astype(STORED_EXPECTED).tobytes(),
            correlation=simulated.correlation,
        )
        for rank, simulated in enumerate(made.simulated)
    )
    session.flush()
    return True
