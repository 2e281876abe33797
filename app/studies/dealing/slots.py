"""Slots: how many raters a neuron may have at once, and for how long one who has stopped keeps theirs.

An assignment takes a slot while it is live: submitted, or open and not reclaimed. Every change of slots happens while
the study's row is locked, so that of raters who ask at the same moment one sees what the other took.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.studies.audit import EXTENDED, RECLAIMED, record_event
from app.studies.models import OPEN, Assignment, Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.queries import locked_study

RENEWED_EVERY = timedelta(minutes=1)
MOST_RATERS_PER_NEURON = 1_000


def is_live() -> sa.ColumnElement[bool]:
    """Condition on Assignment: it takes a slot, and is there for its rater."""
    return sa.or_(Assignment.submitted_at.is_not(None), Assignment.reclaimed_at.is_(None))


def is_open() -> sa.ColumnElement[bool]:
    """Condition on Assignment: live and not yet submitted."""
    return sa.and_(Assignment.submitted_at.is_(None), Assignment.reclaimed_at.is_(None))


def takes_slots(study_id: int) -> sa.ColumnElement[bool]:
    """Condition on Rater: of this study and counted."""
    return sa.and_(Rater.study_id == study_id, Rater.is_dry_run.is_(False))


def slots_taken(session: Session, study: Study) -> Counter[int]:
    """Live assignments by neuron id."""
    query = sa.select(Assignment.neuron_id, sa.func.count()).join(Assignment.rater)
    mine = query.where(takes_slots(study.id), is_live()).group_by(Assignment.neuron_id)
    return Counter(dict(session.execute(mine).all()))


# Leases ---------------------------------------------------------------------------------------------------------------


def keep_lease(database: Database, rater: Rater, now: datetime) -> None:
    """For pages that only read: renews the lease in a short transaction of its own, when it is due."""
    if _is_due(rater, now):
        with database.writing() as session:
            touch_lease(session, rater, now)


def touch_lease(session: Session, rater: Rater, now: datetime) -> None:
    """Notes that the rater is there, and keeps their open neurons for them for the protocol's hours from now.

    At most once a minute; session: a writing one. Neurons that were reclaimed meanwhile stay so: `share.deal_share`
    gives them back where their slots are free. Never followed by deal_share in one transaction: two raters who share
    the study's lock would wait for each other to let go of it.
    """
    if not _is_due(rater, now):
        return
    # The study first, then the rater, everywhere: whoever locks them the other way round could wait in a circle.
    mine = sa.select(Study.protocol).where(Study.id == rater.study_id).with_for_update(read=True)
    until = now + timedelta(hours=Protocol.model_validate(session.scalar(mine)).lease_hours)
    session.execute(sa.update(Rater).where(Rater.id == rater.id).values(seen_at=now, lease_until=until))


def _is_due(rater: Rater, now: datetime) -> bool:
    return rater.seen_at is None or rater.lease_until is None or now - rater.seen_at >= RENEWED_EVERY


# Giving slots back ----------------------------------------------------------------------------------------------------


def reclaim_expired(session: Session, study: Study, now: datetime) -> int:
    """Takes the open neurons of all raters whose lease is over; how many. The caller holds the study's lock."""
    expired = sa.select(Rater.id).where(takes_slots(study.id), Rater.lease_until < now)
    return _reclaim(session, sa.and_(Assignment.rater_id.in_(expired), is_open()), now)


def reclaim_open(session: Session, rater_id: int, now: datetime) -> int:
    """Takes all open neurons of one rater; how many. The caller holds the study's lock."""
    return _reclaim(session, sa.and_(Assignment.rater_id == rater_id, is_open()), now)


def reclaim_rater(session: Session, slug: str, number: int, now: datetime, who: str) -> int:
    """An admin takes the open neurons of a rater who has stopped, for others; how many.

    The rater gets them back on return, as far as their slots are still free. Errors: UnknownName.
    """
    study = locked_study(session, slug)
    rater = numbered_rater(session, study, number)
    n = reclaim_open(session, rater.id, now)
    # Whoever is at it right now would only get them back at once: the lease ends here too.
    session.execute(sa.update(Rater).where(Rater.id == rater.id).values(lease_until=now))
    if n:
        record_event(session, study, who, RECLAIMED, now, rater=f"rater-{number}", n_neurons=n)
    return n


def _reclaim(session: Session, scope: sa.ColumnElement[bool], now: datetime) -> int:
    # Counted and changed under the lock of the study, but a rater may be submitting without it: the condition is part
    # of the update, which waits for that rater's row and then finds it submitted.
    taken = sa.update(Assignment).where(scope).values(reclaimed_at=now).returning(Assignment.id)
    return len(session.scalars(taken.execution_options(synchronize_session=False)).all())


def numbered_rater(session: Session, study: Study, number: int) -> Rater:
    """The study's rater of that number. Errors: UnknownName."""
    rater = session.scalar(sa.select(Rater).where(Rater.study_id == study.id, Rater.number == number))
    if rater is None:
        raise UnknownName(f"study {study.slug} has no rater {number}")
    return rater


# More slots -----------------------------------------------------------------------------------------------------------


def extend(session: Session, slug: str, raters_per_neuron: int, now: datetime, who: str) -> int:
    """Lets every neuron with a quota below it be judged by this many raters; how many neurons changed.

    Neurons that every rater judges stay so. Errors: UnknownName; Conflict unless the study is open; InvalidInput when
    no quota would grow.
    """
    study = locked_study(session, slug)
    if study.status != OPEN:
        raise Conflict(f"study {slug} is {study.status}; quotas are extended while it is open")
    if not 1 <= raters_per_neuron <= MOST_RATERS_PER_NEURON:
        raise InvalidInput(f"{raters_per_neuron} raters per neuron; expected 1 to {MOST_RATERS_PER_NEURON}")
    before = _quotas(session, study)
    if not any(quota < raters_per_neuron for quota in before):
        most = max(before, default=None)
        raise InvalidInput(
            f"{raters_per_neuron} raters per neuron; expected more than the {most} there are now"
            if most is not None
            else "every rater judges every neuron of this study: invite more raters instead"
        )
    below = sa.and_(StudyNeuron.study_id == study.id, StudyNeuron.quota < raters_per_neuron)
    session.execute(sa.update(StudyNeuron).where(below).values(quota=raters_per_neuron))
    n = sum(quota < raters_per_neuron for quota in before)
    record_event(session, study, who, EXTENDED, now, raters_per_neuron=raters_per_neuron, n_neurons=n)
    return n


def _quotas(session: Session, study: Study) -> Sequence[int]:
    mine = (StudyNeuron.study_id == study.id, StudyNeuron.quota.is_not(None))
    return [quota for quota in session.scalars(sa.select(StudyNeuron.quota).where(*mine)) if quota is not None]
