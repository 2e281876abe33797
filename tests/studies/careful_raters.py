"""Raters for tests of what is counted: each judges every neuron in hand in a way that the test chooses."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.studies.invitations import redeem_invitation
from app.studies.models import Assignment, Card, Condition, Guess, Rater, Study
from app.studies.protocol import Protocol
from app.studies.rating.judging import CANNOT_JUDGE, record_judgement
from app.studies.rating.reading import mark_shown
from tests.studies.factories import NOW, PLAIN, OpenStudy, bring_to_the_judging, rater_of

CHECKED = PLAIN.model_copy(
    update={"check_percent": 100, "exclude_failed_checks_percent": 50, "exclude_too_fast_percent": 50}
)
"""A false description on every page, and two declared rules."""
A_REASON = next(iter(CANNOT_JUDGE))
"""Why a neuron could not be judged."""
Rate = Callable[[Card, int], int]
"""The card and its place on the page -> a rating."""


def by_place(card: Card, place: int) -> int:
    """1-5 by place; a false description gets 1."""
    return 1 if card.is_check else place % 5 + 1


def fooled(card: Card, place: int) -> int:
    """Like by_place, but takes a false description for the truth."""
    return 5 if card.is_check else by_place(card, place)


def always_three(card: Card, place: int) -> int:
    return 3


def judge(
    database: Database,
    study: OpenStudy,
    number: int = 1,
    *,
    rate: Rate = by_place,
    seconds: float = 12.5,
    is_check_best: bool = False,
    cannot_judge: Sequence[int] = (),
    n: int | None = None,
    start: datetime = NOW,
) -> None:
    """The rater judges the first n open neurons (None: all); those at the places in cannot_judge they cannot judge.

    The best is the last true description, or with is_check_best the false one.
    """
    with database.writing() as session:
        rater = rater_of(session, study, number)
        for place, assignment in enumerate(open_assignments(session, rater)[:n]):
            mark_shown(session, rater, assignment.token, start)
            cards = assignment.cards
            ratings = {card.token: rate(card, card.position) for card in cards}
            best = [card.token for card in cards if card.is_check == is_check_best][-1]
            reason = A_REASON if place in cannot_judge else ""
            done = start + timedelta(seconds=seconds)
            record_judgement(session, rater, assignment.token, ratings, [best], done, cannot_judge=reason)


def open_assignments(session: Session, rater: Rater) -> Sequence[Assignment]:
    mine = sa.select(Assignment).where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_(None))
    return session.scalars(mine.order_by(Assignment.position)).all()


def add_dry_run(database: Database, slug: str, code: str) -> None:
    """The admin behind this code comes to the judging and judges everything with 5."""
    with database.writing() as session:
        rater = redeem_invitation(session, code, NOW)
        bring_to_the_judging(session, rater)
        for assignment in open_assignments(session, rater):
            ratings: dict[str, int | str] = {card.token: 5 for card in assignment.cards}
            record_judgement(session, rater, assignment.token, ratings, [assignment.cards[0].token], NOW)


def guess(database: Database, slug: str, number: int, method: str | None) -> int:
    """The rater guesses this method for every true card in hand (None: it cannot be told); of how many cards."""
    with database.writing() as session:
        cards = sa.select(Card).join(Card.assignment).join(Assignment.rater).join(Rater.study)
        mine = cards.where(Study.slug == slug, Rater.number == number, Card.is_check.is_(False))
        named = sa.select(Condition.id).join(Study, Study.id == Condition.study_id)
        condition_id = session.scalar(named.where(Study.slug == slug, Condition.method == method)) if method else None
        found = session.scalars(mine).all()
        session.add_all(Guess(card_id=card.id, condition_id=condition_id) for card in found)
    return len(found)


def protocol(**changes: object) -> Protocol:
    """PLAIN with these fields changed."""
    return PLAIN.model_copy(update=changes)
