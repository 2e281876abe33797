"""What a batch spends: what a call may cost is reserved before it, what it did cost is added after it. Calls nobody.

A budget cannot be passed, however many workers ask: reservations are made under the lock of the batch's row, and what
is spent, what is reserved and what the next call may cost at most never exceed the budget together. A reservation says
every so often that its call is still under way: one that is silent for long is a dead worker's, and counts no more.

All of this happens for every call, so the statements are built once, and rows are read without making objects of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.batches.models import RUNNING, Batch, CallReservation, PaidCall
from app.database import Base, UtcDateTime, utc_now
from app.errors import NeuronJuryError

SILENT_SECONDS = 15.0
"""After which a reservation is taken for dead. By the clocks of the workers, which may differ by less than what is left
of it between two signs of life."""
_BATCH_ID: sa.BindParameter[int] = sa.bindparam("of_batch")
_SUBMISSION: sa.BindParameter[int] = sa.bindparam("of_submission")
_KEY: sa.BindParameter[bytes] = sa.bindparam("of_call")
_SILENT_SINCE = sa.bindparam("silent_since", type_=UtcDateTime())
_IS_WANTED = sa.and_(Batch.status == RUNNING, Batch.submission == _SUBMISSION)
_LOOK_UP = sa.select(
    _IS_WANTED.label("is_wanted"),
    (Batch.budget_usd.is_not(None) | Batch.budget_tokens.is_not(None)).label("has_budget"),
    sa.select(PaidCall.answer).where(PaidCall.key == _KEY).scalar_subquery().label("answer"),
    sa.exists()
    .where(CallReservation.batch_id == _BATCH_ID, CallReservation.key == _KEY)
    .where(CallReservation.created_at <= _SILENT_SINCE)
    .label("has_dead_reservation"),
).where(Batch.id == _BATCH_ID)
_LOCK_BUDGET = (
    sa.select(Batch.budget_usd, Batch.budget_tokens, Batch.spent_usd, Batch.spent_tokens)
    .where(Batch.id == _BATCH_ID, _IS_WANTED)
    .with_for_update()
)
_OF_BATCH = CallReservation.batch_id == _BATCH_ID
_RESERVED = sa.select(
    sa.func.coalesce(sa.func.sum(CallReservation.tokens).filter(_OF_BATCH), 0).label("tokens"),
    sa.func.coalesce(sa.func.sum(CallReservation.usd).filter(_OF_BATCH), 0.0).label("usd"),
    sa.func.count().filter(CallReservation.key == _KEY).label("n_same_calls"),
    sa.exists().where(PaidCall.key == _KEY).label("is_paid"),
).where(CallReservation.created_at > _SILENT_SINCE)
_DELETE_RESERVATION = sa.delete(CallReservation.__table__).where(  # type: ignore[arg-type]
    CallReservation.batch_id == _BATCH_ID, CallReservation.key == _KEY
)
_RENEW_RESERVATION = (
    sa.update(CallReservation.__table__)  # type: ignore[arg-type]
    .where(CallReservation.batch_id == _BATCH_ID, CallReservation.key == _KEY)
    .values(created_at=sa.bindparam("now", type_=UtcDateTime()))
)
_ADD_SPENT = (
    sa.update(Batch.__table__)  # type: ignore[arg-type]
    .where(Batch.id == _BATCH_ID)
    .values(
        spent_usd=Batch.spent_usd + sa.bindparam("usd"),
        spent_tokens=Batch.spent_tokens + sa.bindparam("tokens"),
        n_calls=Batch.n_calls + 1,
        remark=sa.func.coalesce(Batch.remark, sa.bindparam("of_answer")),
    )
)


class BatchStopped(NeuronJuryError):
    """The batch is no longer running, or was submitted again: nothing more is to be asked on behalf of this job."""


class BudgetReached(NeuronJuryError):
    """What the next call may cost does not fit into the batch's budget any more. The message is for people."""


@dataclass(frozen=True)
class Estimate:
    """What a call may cost at most. tokens: prompt and answer. usd: None where no price is known."""

    tokens: int
    usd: float | None


@dataclass(frozen=True)
class Spent:
    """What an answered call cost. tokens: prompt and answer. usd: None where no price is known."""

    tokens: int
    usd: float | None


@dataclass(frozen=True)
class LookedUp:
    """answer: what was paid for before, None when the call has to be made. has_budget: of the batch.

    has_dead_reservation: a worker died over this call of the batch.
    """

    answer: dict[str, Any] | None
    has_budget: bool
    has_dead_reservation: bool = False


def look_up(session: Session, batch_id: int, submission: int, key: bytes | None) -> LookedUp:
    """Whether a call is still wanted, and its answer where that was paid for.

    key: of the PaidCall; None for a call whose answer is not kept. Errors: BatchStopped.
    """
    asked = {"of_batch": batch_id, "of_submission": submission, "of_call": key, "silent_since": _silent_since()}
    row = session.connection().execute(_LOOK_UP, asked).one_or_none()
    if row is None or not row.is_wanted:
        raise BatchStopped(f"batch {batch_id} is no longer to be worked on by this job")
    return LookedUp(row.answer, row.has_budget, row.has_dead_reservation)


def reserve(session: Session, batch_id: int, submission: int, key: bytes, estimate: Estimate) -> bool:
    """Sets aside what a call may cost at most; what a dead worker has reserved for the same call is replaced.

    False, to be looked up and tried again, when it fits only if other calls under way turn out cheaper than what is
    reserved for them, and when the same call is under way, on behalf of whichever batch, or was answered meanwhile.
    Errors: BatchStopped; BudgetReached when it does not fit even then, or has no price while the budget is in dollars.
    Whatever it raises, it has changed nothing.
    """
    connection = session.connection()
    row = connection.execute(_LOCK_BUDGET, {"of_batch": batch_id, "of_submission": submission}).one_or_none()
    if row is None:
        raise BatchStopped(f"batch {batch_id} is no longer to be worked on by this job")
    budget = _Budget(*row)
    if not budget.has_room(estimate, Spent(0, 0.0)):
        raise BudgetReached(budget.why_not(estimate))
    # Not in one statement with the lock: it has to see what was committed while this transaction waited.
    asked = {"of_batch": batch_id, "of_call": key, "silent_since": _silent_since()}
    reserved = connection.execute(_RESERVED, asked).one()
    # PostgreSQL adds up big integers to decimal numbers.
    has_room = budget.has_room(estimate, Spent(int(reserved.tokens), float(reserved.usd)))
    if reserved.n_same_calls or reserved.is_paid or not has_room:
        return False
    amounts = {"usd": estimate.usd or 0.0, "tokens": estimate.tokens, "created_at": utc_now()}
    insert = _insert(session, CallReservation).values(batch_id=batch_id, key=key, **amounts)
    connection.execute(insert.on_conflict_do_update(index_elements=["batch_id", "key"], set_=amounts))
    return True


def renew(session: Session, batch_id: int, key: bytes) -> None:
    """Says that a call with a reservation is still under way. Without a reservation it changes nothing."""
    asked = {"of_batch": batch_id, "of_call": key, "now": utc_now()}
    session.connection().execute(_RENEW_RESERVATION, asked)


def settle(
    session: Session,
    batch_id: int,
    key: bytes,
    spent: Spent,
    *,
    answer: dict[str, Any] | None,
    remark: str | None = None,
) -> None:
    """Adds what an answered call cost, in place of its reservation.

    answer: kept for whoever asks the same; None keeps nothing. remark: for the batch, which keeps its first one.
    """
    connection = session.connection()
    cost = {"usd": spent.usd or 0.0, "tokens": spent.tokens, "of_answer": remark}
    # The batch's row comes first, as in `reserve`: two transactions that lock in different orders wait for each other.
    connection.execute(_ADD_SPENT, {"of_batch": batch_id, **cost})
    connection.execute(_DELETE_RESERVATION, {"of_batch": batch_id, "of_call": key})
    if answer is not None:
        # Two batches may have asked the same at the same time; the first answer stays.
        insert = _insert(session, PaidCall).values(key=key, answer=answer, created_at=utc_now())
        connection.execute(insert.on_conflict_do_nothing())


def release(session: Session, batch_id: int, key: bytes) -> None:
    """Gives back what was reserved for a call that came to nothing. Without a reservation it changes nothing."""
    session.connection().execute(_DELETE_RESERVATION, {"of_batch": batch_id, "of_call": key})


@dataclass(frozen=True)
class _Budget:
    """What a batch may spend at most, None without a bound, and what it has spent."""

    usd: float | None
    tokens: int | None
    spent_usd: float
    spent_tokens: int

    def has_room(self, estimate: Estimate, reserved: Spent) -> bool:
        return self._has_usd(estimate, reserved) and self._has_tokens(estimate, reserved)

    def why_not(self, estimate: Estimate) -> str:
        """Why a call does not fit: the budget, what is spent, and what the next call may cost."""
        if self.usd is not None and estimate.usd is None:
            return f"the budget of ${self.usd:.4g} cannot be kept: the model's prices are not known"
        if not self._has_usd(estimate, Spent(0, 0.0)):
            return (
                f"the budget of ${self.usd:.4g} does not cover another call: ${self.spent_usd:.4g} is spent, "
                f"and one may cost up to ${estimate.usd:.4g}"
            )
        return (
            f"the budget of {self.tokens:,} tokens does not cover another call: {self.spent_tokens:,} are spent, "
            f"and one may take up to {estimate.tokens:,}"
        )

    def _has_usd(self, estimate: Estimate, reserved: Spent) -> bool:
        if self.usd is None:
            return True
        return estimate.usd is not None and self.spent_usd + (reserved.usd or 0.0) + estimate.usd <= self.usd

    def _has_tokens(self, estimate: Estimate, reserved: Spent) -> bool:
        return self.tokens is None or self.spent_tokens + reserved.tokens + estimate.tokens <= self.tokens


def _silent_since() -> datetime:
    return utc_now() - timedelta(seconds=SILENT_SECONDS)


def _insert(session: Session, table: type[Base]) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
