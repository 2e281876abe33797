"""How far a batch is: counts, failures, speed, tokens and money against its budget. Reads; changes nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.life import find_batch
from app.batches.models import RUNNING, Batch, CallReservation
from app.batches.rows import Row, row_type
from app.database import utc_now
from app.explanations.models import DONE, FAILED, QUEUED, Explanation, Score

RATE_WINDOW = timedelta(minutes=1)
MOST_REASONS = 20
SHORTEST_WINDOW_SECONDS = 1.0
"""Rows that finish within one instant say nothing about the speed."""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is. Its rows are explanations, or scores; kind says which.

    n_explanations: rows to be made by this batch. n_reused: asked for, but made before or being made by another batch.
    n_queued, n_done, n_failed: of this batch's rows. n_undefined: of the done, scores that have a reason instead of a
    value. n_taken_over: those that a later batch has taken from it.
    failures: how many failed for which reason, the most frequent first. commonest_failure: what most of them had to
    say, where they said something. reasons: how many are undefined for which reason, the most frequent first.
    n_prompt_tokens, n_completion_tokens: of all finished rows whose server counts them.
    cost_usd: of the finished rows; None while the price of any of them is unknown.
    seconds: spent waiting for the model, summed over rows, also over those that ran side by side.
    rows_per_second: finished within the last minute; None while fewer than two were, or when the batch is not running.
    seconds_left: at that speed; None where it is unknown.
    n_calls, spent_usd, spent_tokens: of all answered calls, also those of rows that failed or were asked again.
    budget_usd, budget_tokens: what it may spend at most; None: no bound.
    failure: why it failed or was paused by itself, one sentence. remark: what people should know of how it runs.
    """

    status: str
    kind: str
    n_explanations: int
    n_reused: int
    n_queued: int
    n_done: int
    n_undefined: int
    n_failed: int
    n_taken_over: int
    failures: dict[str, int]
    commonest_failure: str | None
    reasons: dict[str, int]
    n_prompt_tokens: int
    n_completion_tokens: int
    cost_usd: float | None
    seconds: float
    rows_per_second: float | None
    n_calls: int
    spent_usd: float
    spent_tokens: int
    budget_usd: float | None
    budget_tokens: int | None
    failure: str | None
    remark: str | None

    @property
    def n_to_make(self) -> int:
        """What this batch has made or has yet to make."""
        return self.n_explanations - self.n_taken_over

    @property
    def n_finished(self) -> int:
        return self.n_done + self.n_failed

    @property
    def seconds_left(self) -> float | None:
        return None if self.rows_per_second is None else self.n_queued / self.rows_per_second


def batch_progress(session: Session, batch_id: int, now: datetime | None = None) -> BatchProgress:
    """now: None takes the time of the call. Errors: UnknownName."""
    batch = find_batch(session, batch_id)
    rows = _progress_rows(session, batch)
    by_status: Counter[str] = Counter()
    for row in rows:
        by_status[row.status] += row.n
    failures = {row.failure: row.n for row in sorted(rows, key=lambda row: (-row.n, row.failure or "")) if row.failure}
    has_unknown_cost = any(row.status == DONE and row.n_with_cost < row.n for row in rows)
    return BatchProgress(
        status=batch.status,
        kind=batch.kind,
        n_explanations=batch.n_explanations,
        n_reused=batch.n_reused,
        n_queued=by_status[QUEUED],
        n_done=by_status[DONE],
        n_undefined=sum(row.n_undefined for row in rows),
        n_failed=by_status[FAILED],
        n_taken_over=batch.n_explanations - by_status.total(),
        failures=failures,
        commonest_failure=_commonest_failure(session, batch) if failures else None,
        reasons=_reasons(session, batch) if any(row.n_undefined for row in rows) else {},
        n_prompt_tokens=sum(row.n_prompt_tokens or 0 for row in rows),
        n_completion_tokens=sum(row.n_completion_tokens or 0 for row in rows),
        cost_usd=None if has_unknown_cost else sum(row.cost_usd or 0.0 for row in rows),
        seconds=sum(row.seconds or 0.0 for row in rows),
        rows_per_second=_rows_per_second(session, batch, now or utc_now()),
        n_calls=batch.n_calls,
        spent_usd=batch.spent_usd,
        spent_tokens=batch.spent_tokens,
        budget_usd=batch.budget_usd,
        budget_tokens=batch.budget_tokens,
        failure=batch.failure,
        remark=batch.remark,
    )


def has_calls_under_way(session: Session, batch: Batch, now: datetime) -> bool:
    """Whether answers still come in: calls are reserved, or something was finished within the last minute."""
    table = row_type(batch.kind)
    since = now - RATE_WINDOW
    is_reserved = sa.exists().where(CallReservation.batch_id == batch.id, CallReservation.created_at > since)
    has_finished = sa.exists().where(table.batch_id == batch.id, table.finished_at > since)
    return bool(session.scalar(sa.select(sa.or_(is_reserved, has_finished))))


def rows_and_failures(session: Session, batch_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """How many rows these batches have, and how many of them failed. batch_ids: no more than one statement can hold."""
    counts: dict[int, tuple[int, int]] = {}
    for table in (Explanation, Score):
        n_failed = sa.func.sum(sa.case((table.status == FAILED, 1), else_=0))
        query = sa.select(table.batch_id, sa.func.count(), n_failed).where(table.batch_id.in_(batch_ids))
        for batch_id, n_rows, n in session.execute(query.group_by(table.batch_id)):
            counts[batch_id] = (n_rows, n)
    return counts


def _progress_rows(session: Session, batch: Batch) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    table = row_type(batch.kind)
    return session.execute(
        sa.select(
            table.status,
            table.failure,
            sa.func.count().label("n"),
            _n_undefined(table).label("n_undefined"),
            sa.func.count(table.cost_usd).label("n_with_cost"),
            sa.func.sum(table.n_prompt_tokens).label("n_prompt_tokens"),
            sa.func.sum(table.n_completion_tokens).label("n_completion_tokens"),
            sa.func.sum(table.cost_usd).label("cost_usd"),
            sa.func.sum(table.seconds).label("seconds"),
        )
        .where(table.batch_id == batch.id)
        .group_by(table.status, table.failure)
    ).all()


def _commonest_failure(session: Session, batch: Batch) -> str | None:
    table = row_type(batch.kind)
    return session.scalar(
        sa.select(table.failure_detail)
        .where(table.batch_id == batch.id, table.status == FAILED, table.failure_detail.is_not(None))
        .group_by(table.failure_detail)
        .order_by(sa.func.count().desc(), table.failure_detail)
        .limit(1)
    )


def _reasons(session: Session, batch: Batch) -> dict[str, int]:
    rows = session.execute(
        sa.select(Score.reason, sa.func.count())
        .where(Score.batch_id == batch.id, Score.reason.is_not(None))
        .group_by(Score.reason)
        .order_by(sa.func.count().desc(), Score.reason)
        .limit(MOST_REASONS)
    )
    return {reason: n for reason, n in rows if reason is not None}


def _n_undefined(table: type[Row]) -> sa.ColumnElement[int]:
    return sa.func.count(Score.reason) if table is Score else sa.literal(0)


def _rows_per_second(session: Session, batch: Batch, now: datetime) -> float | None:
    if batch.status != RUNNING:
        return None
    table = row_type(batch.kind)
    n, first = session.execute(
        sa.select(sa.func.count(), sa.func.min(table.finished_at)).where(
            table.batch_id == batch.id, table.finished_at >= now - RATE_WINDOW
        )
    ).one()
    if first is None or n < 2:
        return None
    # Counted from the first of them, not over the whole minute: a batch that has just gone on would look slow.
    seconds: float = max((now - first).total_seconds(), SHORTEST_WINDOW_SECONDS)
    return float(n - 1) / seconds
