"""The life of a batch: started, paused, gone on with, ended. Knows the tables; runs nothing and calls nobody.

queued -> running -> done; a batch that is under way can be paused, or end as cancelled or failed. Its rows,
explanations or scores, lie in shards of 25, the unit of work that may be lost and repeated. What goes on is handed to
the workers again: it is queued under the next submission, and jobs of an earlier one stop by themselves. Rows that a
batch left queued stay in it, without a result, until it goes on or a later batch that asks for the same takes them
over; so nothing that was under way is lost.
"""

import math
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import CANCELLED, PAUSED, RUNNING, Batch
from app.batches.rows import failed_back_in_queue, row_type, shards_with_queued_rows
from app.database import utc_now
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import DONE, FAILED, QUEUED

UNDER_WAY = (QUEUED, RUNNING)
LARGEST_NUMBER_OF_TOKENS = 2**63 - 1


def find_batch(session: Session, batch_id: int) -> Batch:
    """Errors: UnknownName."""
    batch = session.get(Batch, batch_id)
    if batch is None:
        raise UnknownName(f"no batch {batch_id}")
    return batch


def queued_batch_ids(session: Session) -> list[int]:
    """Batches that no worker has begun, or gone on with, oldest first."""
    return list(session.scalars(sa.select(Batch.id).where(Batch.status == QUEUED).order_by(Batch.id)))


def running_batch_ids(session: Session) -> list[int]:
    return list(session.scalars(sa.select(Batch.id).where(Batch.status == RUNNING).order_by(Batch.id)))


def queue_running(session: Session, batch_id: int) -> bool:
    """Queues a running batch that nobody works on, under its next submission; False when it was not running."""
    return _queue_again(session, batch_id, [RUNNING])


def start_batch(session: Session, batch_id: int, submission: int = 0) -> list[int]:
    """Sets a queued batch running; returns the shards to work on, none when there is nothing to do for this submission.

    A batch that lacks nothing is done at once.
    """
    _change(session, batch_id, [QUEUED], Batch.submission == submission, status=RUNNING)
    batch = find_batch(session, batch_id)
    if (batch.status, batch.submission) != (RUNNING, submission):
        return []
    finish_batch_if_complete(session, batch_id)
    return shards_with_queued_rows(session, batch)


def finish_batch_if_complete(session: Session, batch_id: int) -> bool:
    """Sets a batch done when none of its rows is queued any more; whether this call did it.

    Also a paused one: the last answers may come in after the pausing.
    """
    table = row_type(find_batch(session, batch_id).kind)
    is_unfinished = sa.exists().where(table.batch_id == batch_id, table.status == QUEUED)
    return _change(
        session, batch_id, [RUNNING, PAUSED], ~is_unfinished, status=DONE, failure=None, finished_at=utc_now()
    )


def finish_taken_over(session: Session, subject_id: int, kind: str) -> None:
    """Sets stopped batches of a subject model done of which later ones have taken over all that waited."""
    table = row_type(kind)
    is_unfinished = sa.exists().where(table.batch_id == Batch.id, table.status == QUEUED)
    session.execute(
        sa.update(Batch)
        .where(Batch.subject_id == subject_id, Batch.kind == kind, Batch.status.in_((PAUSED, FAILED)), ~is_unfinished)
        .values(status=DONE, failure=None, finished_at=utc_now())
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def fail_batch(session: Session, batch_id: int, reason: str) -> bool:
    """Ends a batch that cannot go on at all, for a reason said in one sentence; False when it has ended already."""
    return _change(
        session, batch_id, [*UNDER_WAY, PAUSED], sa.true(), status=FAILED, failure=reason, finished_at=utc_now()
    )


def pause_batch(session: Session, batch_id: int) -> None:
    """No further call is made; answers of calls under way are kept. Pausing twice changes nothing.

    Errors: UnknownName; Conflict when the batch has ended.
    """
    if not _change(session, batch_id, list(UNDER_WAY), sa.true(), status=PAUSED, failure=None):
        _check_status(session, batch_id, PAUSED, "paused")


def pause_for(session: Session, batch_id: int, reason: str) -> bool:
    """Pauses a running batch by itself, for a reason said in one sentence; False when it was not running."""
    return _change(session, batch_id, [RUNNING], sa.true(), status=PAUSED, failure=reason)


def resume_batch(session: Session, batch_id: int) -> int:
    """Queues a paused batch, or one that failed for a reason mended since, under its next submission, which is
    returned. A batch under way stays as it is.

    Errors: UnknownName; Conflict when the batch is done or cancelled.
    """
    if not _queue_again(session, batch_id, [PAUSED, FAILED]):
        status = find_batch(session, batch_id).status
        if status not in UNDER_WAY:
            raise Conflict(f"batch {batch_id} is {status} and cannot be resumed")
    return find_batch(session, batch_id).submission


def retry_failed(session: Session, batch_id: int, reasons: Sequence[str] | None = None) -> int:
    """Asks again for the failed rows of a batch that is not under way; returns how many.

    The batch goes on, also with what it still lacked. reasons: only those that failed for one of them; None: all.
    Nothing changes when none of them failed so. Errors: UnknownName; Conflict while the batch is under way, and for a
    cancelled one, which would go on with all that was cancelled.
    """
    batch = _locked(session, batch_id)
    if batch.status == CANCELLED:
        raise Conflict(f"batch {batch_id} is cancelled and cannot go on; order what it lacks as a new batch")
    if batch.status in UNDER_WAY:
        raise Conflict(
            f"batch {batch_id} is {batch.status}; its failures can be retried once it has ended or is paused"
        )
    n_back = failed_back_in_queue(session, batch, None if reasons is None else list(reasons))
    if n_back:
        _queue_again(session, batch_id, [PAUSED, DONE, FAILED])
    return n_back


def cancel_batch(session: Session, batch_id: int) -> None:
    """Ends a batch at once; what is done stays. Cancelling twice changes nothing.

    Errors: UnknownName; Conflict when the batch is done or failed.
    """
    is_changed = _change(
        session, batch_id, [*UNDER_WAY, PAUSED], sa.true(), status=CANCELLED, failure=None, finished_at=utc_now()
    )
    if not is_changed:
        _check_status(session, batch_id, CANCELLED, "cancelled")


def raise_budget(session: Session, batch_id: int, usd: float | None, tokens: int | None) -> None:
    """Sets what a batch may spend at most, money and tokens; None takes a bound away. A paused batch stays paused.

    Errors: UnknownName; InvalidInput for a bound below the present one, or where there was none, or no number above 0.
    """
    batch = _locked(session, batch_id)
    _check_raised("budget in dollars", batch.budget_usd, usd)
    _check_raised("budget in tokens", batch.budget_tokens, tokens)
    batch.budget_usd, batch.budget_tokens = usd, tokens
    session.flush()


def _check_raised(name: str, present: float | None, raised: float | None) -> None:
    if raised is None:
        return
    if not math.isfinite(raised) or not 0 < raised <= LARGEST_NUMBER_OF_TOKENS:
        raise InvalidInput(f"{name} {raised}; expected a number above 0")
    if present is None:
        raise InvalidInput(f"{name} {raised}; this batch has no such bound, and a budget can only be raised")
    if raised < present:
        raise InvalidInput(f"{name} {raised}; a budget can only be raised, expected at least {present}")


def is_running(session: Session, batch_id: int) -> bool:
    return session.scalar(sa.select(Batch.status).where(Batch.id == batch_id)) == RUNNING


def _locked(session: Session, batch_id: int) -> Batch:
    """The batch as it is now, for nobody else to change until the transaction is over. Errors: UnknownName."""
    query = sa.select(Batch).where(Batch.id == batch_id).with_for_update()
    batch = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if batch is None:
        raise UnknownName(f"no batch {batch_id}")
    return batch


def _queue_again(session: Session, batch_id: int, from_status: list[str]) -> bool:
    # Queued, not running: a process that dies before it has handed the batch over leaves it for the next worker to
    # find.
    return _change(
        session,
        batch_id,
        from_status,
        sa.true(),
        status=QUEUED,
        failure=None,
        finished_at=None,
        submission=Batch.submission + 1,
    )


def _change(
    session: Session,
    batch_id: int,
    from_status: list[str],
    condition: sa.ColumnElement[bool],
    **values: object,
) -> bool:
    """Whether the batch was in one of these states and under the condition, and has the values now."""
    changed = session.execute(
        sa.update(Batch)
        .where(Batch.id == batch_id, Batch.status.in_(from_status), condition)
        .values(**values)
        .returning(Batch.id)
        .execution_options(synchronize_session=False)
    )
    is_changed = changed.first() is not None
    if is_changed:
        session.expire(find_batch(session, batch_id))
    return is_changed


def _check_status(session: Session, batch_id: int, expected: str, verb: str) -> None:
    status = find_batch(session, batch_id).status
    if status != expected:
        raise Conflict(f"batch {batch_id} is {status} and cannot be {verb}")
