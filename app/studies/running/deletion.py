"""Deleting a rater: the answers and everything personal go, the number and the times stay, and totals are explained.

The effect is told before it happens and recorded, in counts, when it does.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.accounts.models import BrowserSession
from app.errors import Conflict
from app.studies.audit import DELETED, record_event
from app.studies.dealing.slots import numbered_rater
from app.studies.models import (
    Assignment,
    BestPick,
    Card,
    CardCondition,
    Guess,
    JudgementEvent,
    PracticeAnswer,
    Rater,
    Rating,
    Study,
)
from app.studies.queries import counted_raters, locked_study, study_named


@dataclass(frozen=True)
class DeletionEffect:
    """What goes with a rater, and the study's totals before and after.

    n_judgements, n_ratings: submitted ones. n_open: neurons held and not judged, which others can then be given.
    n_entries: lines of the log of entries. A study's totals count judgements and ratings of all raters who count.
    """

    n_judgements: int
    n_ratings: int
    n_open: int
    n_entries: int
    n_practice_answers: int
    n_guesses: int
    n_judgements_before: int
    n_judgements_after: int
    n_ratings_before: int
    n_ratings_after: int
    n_raters_before: int
    n_raters_after: int


def effect_of_deletion(session: Session, slug: str, number: int) -> DeletionEffect:
    """What deleting this rater would remove, and change in the totals. Errors: UnknownName."""
    study = study_named(session, slug)
    return _effect(session, study, numbered_rater(session, study, number))


def delete_rater(session: Session, slug: str, number: int, now: datetime, who: str) -> DeletionEffect:
    """Removes the rater's answers, sessions and outside names for good; what was removed.

    The rater counts as revoked from now on and the neurons are free for others. Also after the closing: a person may
    ask for it at any time. Errors: UnknownName; Conflict when deleted before.
    """
    study = locked_study(session, slug)
    rater = numbered_rater(session, study, number)
    # A rater who is answering right now holds this row: waiting for it here, before anything is deleted, leaves no
    # answer behind that comes in meanwhile, and makes no circle of two who wait for each other.
    session.refresh(rater, with_for_update={"key_share": True})
    if rater.deleted_at is not None:
        raise Conflict(f"rater-{number} of study {slug} is deleted already")
    effect = _effect(session, study, rater)
    _delete_answers(session, rater.id)
    _forget_person(rater, now)
    removed = {name: n for name, n in asdict(effect).items() if not name.endswith("_before")}
    record_event(session, study, who, DELETED, now, rater=f"rater-{number}", **removed)
    session.flush()
    return effect


def _effect(session: Session, study: Study, rater: Rater) -> DeletionEffect:
    is_own = Assignment.rater_id == rater.id
    is_submitted = Assignment.submitted_at.is_not(None)
    is_counted = not rater.is_dry_run and rater.deleted_at is None
    n_judgements = _n(session, sa.select(Assignment.id).where(is_own, is_submitted))
    n_ratings = _n(session, _ratings().where(is_own))
    counted = counted_raters(study.id)
    judged = sa.select(Assignment.id).join(Assignment.rater).where(counted, is_submitted)
    n_all, n_all_ratings = _n(session, judged), _n(session, _ratings().join(Assignment.rater).where(counted))
    judging = sa.select(Rater.id).where(counted, Rater.id.in_(sa.select(Assignment.rater_id).where(is_submitted)))
    n_raters = _n(session, judging)
    return DeletionEffect(
        n_judgements=n_judgements,
        n_ratings=n_ratings,
        n_open=_n(session, sa.select(Assignment.id).where(is_own, ~is_submitted, Assignment.reclaimed_at.is_(None))),
        n_entries=_n(session, sa.select(JudgementEvent.id).join(Assignment).where(is_own)),
        n_practice_answers=_n(session, sa.select(PracticeAnswer.puzzle).where(PracticeAnswer.rater_id == rater.id)),
        n_guesses=_n(session, sa.select(Guess.card_id).join(Card).join(Card.assignment).where(is_own)),
        n_judgements_before=n_all,
        n_judgements_after=n_all - n_judgements * is_counted,
        n_ratings_before=n_all_ratings,
        n_ratings_after=n_all_ratings - n_ratings * is_counted,
        n_raters_before=n_raters,
        n_raters_after=n_raters - (is_counted and n_judgements > 0),
    )


def _ratings() -> sa.Select[int]:
    """The ratings of descriptions that count: submitted, of a neuron that could be judged, no check."""
    query = sa.select(Rating.card_id).join(Card, Card.id == Rating.card_id).join(Card.assignment)
    is_judged = (Assignment.submitted_at.is_not(None), Assignment.cannot_judge.is_(None))
    return query.where(*is_judged, Card.is_check.is_(False))


def _n(session: Session, query: sa.Select[Any]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0


def _delete_answers(session: Session, rater_id: int) -> None:
    """Rows that point at others first, so that no foreign key is ever left without its row."""
    assignments = sa.select(Assignment.id).where(Assignment.rater_id == rater_id).scalar_subquery()
    cards = sa.select(Card.id).where(Card.assignment_id.in_(assignments)).scalar_subquery()
    scopes = (
        (Guess, Guess.card_id.in_(cards)),
        (Rating, Rating.card_id.in_(cards)),
        (BestPick, BestPick.assignment_id.in_(assignments)),
        (JudgementEvent, JudgementEvent.assignment_id.in_(assignments)),
        (CardCondition, CardCondition.assignment_id.in_(assignments)),
        (Card, Card.assignment_id.in_(assignments)),
        (Assignment, Assignment.rater_id == rater_id),
        (PracticeAnswer, PracticeAnswer.rater_id == rater_id),
        (BrowserSession, BrowserSession.rater_id == rater_id),
    )
    for table, scope in scopes:
        session.execute(sa.delete(table).where(scope).execution_options(synchronize_session=False))


def _forget_person(rater: Rater, now: datetime) -> None:
    rater.external_id = rater.external_study = rater.external_session = rater.comment = None
    rater.lease_until = None
    rater.deleted_at = now
    rater.revoked_at = rater.revoked_at or now
