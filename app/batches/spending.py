"""What a batch spends: what a call may cost is reserved before it, what it did cost is added after it. Calls nobody.

A budget cannot be passed, however many workers ask: reservations are made under the lock of the batch's row, and what
is spent, what is reserved and what the next call may cost at most never exceed the budget together. Batches without a
budget reserve, too: it is how workers know that the same call is under way. A reservation says every so often that its
call is: one that is silent for long is a dead worker's, and counts no more. But long may be somebody else's doing, who
kept the database from being written to; so the seconds are longer at first sight than for who has waited and looked.

All of this happens for every call, so the statements are built once, and rows are read without making objects of them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.batches.models import RUNNING, Batch, CallReservation, PaidCall
from app.database import BUSY_TIMEOUT_MS, Base, UtcDateTime, utc_now
from app.errors import NeuronJuryError

SILENT_SECONDS = 15.0
"""After which a reservation is taken for dead by who has seen the database free for longer than living ones need to say
so. By the clocks of the workers, which may differ by less than what is left of it between two signs of life."""
SILENT_SECONDS_AT_FIRST = BUSY_TIMEOUT_MS / 1000 + SILENT_SECONDS
"""After which it is taken for dead at first sight: none of those alive waits longer for a database that is not free."""
_RESERVATIONS, _PAID_CALLS = (Base.metadata.tables[one.__tablename__] for one in (CallReservation, PaidCall))
_BATCH_ID: sa.BindParameter[int] = sa.bindparam("of_batch")
_KEY: sa.BindParameter[bytes] = sa.bindparam("of_call")
_SILENT_SINCE = sa.bindparam("silent_since", type_=UtcDateTime())
_IS_WANTED = sa.and_(
    Batch.id == _BATCH_ID, Batch.status == RUNNING, Batch.submission == sa.bindparam("of_submission", type_=sa.Integer)
)
_FIND_WANTED = sa.select(Batch.id).where(_IS_WANTED)
_LOCK_WANTED = (
    sa.select(Batch.budget_usd, Batch.budget_tokens, Batch.spent_usd, Batch.spent_tokens)
    .where(_IS_WANTED)
    .with_for_update()
)
_OF_BATCH, _OF_CALL = CallReservation.batch_id == _BATCH_ID, CallReservation.key == _KEY
_IS_ALIVE = CallReservation.created_at > _SILENT_SINCE
_RESERVED = sa.select(
    sa.func.coalesce(sa.func.sum(CallReservation.tokens).filter(_OF_BATCH, _IS_ALIVE), 0).label("tokens"),
    sa.func.coalesce(sa.func.sum(CallReservation.usd).filter(_OF_BATCH, _IS_ALIVE), 0.0).label("usd"),
    sa.func.count().filter(_OF_CALL, _IS_ALIVE).label("n_same_calls"),
    sa.func.count().filter(_OF_BATCH, _OF_CALL, ~_IS_ALIVE).label("n_dead"),
    sa.select(PaidCall.answer).where(PaidCall.key == _KEY).scalar_subquery().label("answer"),
).where(_IS_ALIVE | (_OF_BATCH & _OF_CALL))
_DELETE_RESERVATION = sa.delete(_RESERVATIONS).where(_OF_BATCH, _OF_CALL)
_RENEW_RESERVATION = (
    sa.update(_RESERVATIONS).where(_OF_BATCH, _OF_CALL).values(created_at=sa.bindparam("now", type_=UtcDateTime()))
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


def _reserving(inserting: Any) -> Any:
    amounts = {name: inserting.excluded[name] for name in ("usd", "tokens", "created_at")}
    return inserting.on_conflict_do_update(index_elements=["batch_id", "key"], set_=amounts)


_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_RESERVE = {dialect: _reserving(insert(_RESERVATIONS)) for dialect, insert in _INSERTS.items()}
_KEEP = {dialect: insert(_PAID_CALLS).on_conflict_do_nothing() for dialect, insert in _INSERTS.items()}


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
class Begun:
    """How a call begins. answer: what was paid for before; None: the call is to be made, and what it may cost is
    reserved."""

    answer: dict[str, Any] | None


def check_wanted(session: Session, batch_id: int, submission: int) -> None:
    """Errors: BatchStopped when nothing more is to be asked on behalf of this submission of the batch."""
    asked = {"of_batch": batch_id, "of_submission": submission}
    if session.connection().execute(_FIND_WANTED, asked).first() is None:
        raise _stopped(batch_id)


def begin_call(
    session: Session,
    batch_id: int,
    submission: int,
    key: bytes,
    estimate: Estimate,
    silent_seconds: float = SILENT_SECONDS_AT_FIRST,
) -> Begun | None:
    """Finds what was paid for before, or sets aside what a call may cost at most.

    key: of the PaidCall. silent_seconds: after which a reservation is a dead worker's; one for this call goes.
    None, to be tried again, when it fits only if other calls under way turn out cheaper than what is reserved for them,
    and when the same call is under way, on behalf of whichever batch.
    Errors: BatchStopped; BudgetReached when it does not fit even then, or has no price while the budget is in dollars.
    Whatever it raises, it has changed nothing.
    """
    connection = session.connection()
    row = connection.execute(_LOCK_WANTED, {"of_batch": batch_id, "of_submission": submission}).one_or_none()
    if row is None:
        raise _stopped(batch_id)
    budget = _Budget(*row)
    # Not in one statement with the lock: it has to see what was committed while this transaction waited.
    now = utc_now()
    this_call = {"of_batch": batch_id, "of_call": key}
    found = connection.execute(_RESERVED, {**this_call, "silent_since": now - timedelta(seconds=silent_seconds)}).one()
    if found.answer is not None:
        if found.n_dead:
            connection.execute(_DELETE_RESERVATION, this_call)
        return Begun(found.answer)
    if not budget.has_room(estimate, Spent(0, 0.0)):
        raise BudgetReached(budget.why_not(estimate))
    # PostgreSQL adds up big integers to decimal numbers.
    if found.n_same_calls or not budget.has_room(estimate, Spent(int(found.tokens), float(found.usd))):
        return None
    amounts = {"usd": estimate.usd or 0.0, "tokens": estimate.tokens, "created_at": now}
    connection.execute(_RESERVE[connection.dialect.name], {"batch_id": batch_id, "key": key, **amounts})
    return Begun(None)


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
    # The batch's row comes first, as in `begin_call`: two transactions that lock in different orders wait for each
    # other.
    connection.execute(_ADD_SPENT, {"of_batch": batch_id, **cost})
    connection.execute(_DELETE_RESERVATION, {"of_batch": batch_id, "of_call": key})
    if answer is not None:
        # Two batches may have asked the same at the same time; the first answer stays.
        kept = {"key": key, "answer": answer, "created_at": utc_now()}
        connection.execute(_KEEP[connection.dialect.name], kept)


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


def _stopped(batch_id: int) -> BatchStopped:
    return BatchStopped(f"batch {batch_id} is no longer to be worked on by this job")
