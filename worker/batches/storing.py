"""Stores what came of a row: its own columns, and the simulated excerpts of a score. Knows no maker."""

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.rows import Row, row_type
from app.database import Base, utc_now
from app.explanations.models import DONE, FAILED, QUEUED, SimulatedExcerpt
from worker.batches.making import Made

STORED_EXPECTED = "<f4"


@functools.cache
def _update_of(table: type[Row], names: tuple[str, ...]) -> sa.Update:
    # Built once for each set of columns: putting a statement together takes longer than running it.
    plain = Base.metadata.tables[table.__tablename__]
    here = (plain.c.id == sa.bindparam("of_row"), plain.c.batch_id == sa.bindparam("of_batch"))
    new = {name: sa.bindparam(f"new_{name}", type_=plain.c[name].type) for name in names}
    return sa.update(plain).where(*here, plain.c.status == QUEUED).values(new).returning(plain.c.id)


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
    asked = {"of_row": row_id, "of_batch": batch_id, **{f"new_{name}": value for name, value in values.items()}}
    stored = session.connection().execute(_update_of(row_type(kind), tuple(values)), asked)
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
