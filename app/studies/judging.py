"""Takes a judgement in: whole or not at all, once however often it is sent, every change on record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidJudgement, UnknownName
from app.studies.models import OPEN, Assignment, BestPick, Card, JudgementEvent, Rater, Rating, Study
from app.studies.rating_page import card_letter, live_rater

SCALE = {1: "Strongly Disagree", 2: "Disagree", 3: "Neither Agree nor Disagree", 4: "Agree", 5: "Strongly Agree"}
"""The paper's wording, section 5.3 and figure 4."""
_VALUES = {str(value): value for value in SCALE}


@dataclass(frozen=True)
class Outcome:
    """What a submission did. Neither new nor changed: the same judgement was there already and nothing was touched."""

    is_new: bool
    is_changed: bool


@dataclass(frozen=True)
class Judgement:
    """Ratings and best pick by card position."""

    ratings: dict[int, int]
    best: int

    def as_json(self) -> dict[str, Any]:
        return {"ratings": {str(position): value for position, value in self.ratings.items()}, "best": self.best}


def record_judgement(
    session: Session, rater: Rater, token: str, ratings: Mapping[str, int | str], best: Sequence[str], now: datetime
) -> Outcome:
    """Stores a rater's judgement of one assignment, or the change of an earlier one.

    ratings: by card token, as submitted: 4 or "4". best: the tokens of all cards submitted as best.
    Errors: InvalidJudgement unless every card has a rating of 1-5 and exactly one is best; UnknownName for a token
    that is not this rater's; NotAllowed when revoked; Conflict when the study is not open. Nothing is stored when it
    raises.
    """
    assignment = _locked_assignment(session, rater, token)
    cards = _cards(session, assignment)
    judgement = checked_judgement([card.token for card in cards], ratings, best)
    earlier = _stored_judgement(session, assignment, cards)
    if judgement == earlier:
        return Outcome(is_new=False, is_changed=False)
    is_new = earlier is None
    store = _store_new if is_new else _store_changed
    store(session, assignment, cards, judgement)
    _stamp(assignment, now, is_new)
    kind = "submitted" if is_new else "revised"
    session.add(JudgementEvent(assignment_id=assignment.id, at=now, kind=kind, judgement=judgement.as_json()))
    session.flush()
    return Outcome(is_new=is_new, is_changed=not is_new)


def checked_judgement(tokens: Sequence[str], ratings: Mapping[str, int | str], best: Sequence[str]) -> Judgement:
    """What was submitted as card positions. tokens: of the cards, in page order. Errors: InvalidJudgement."""
    if unknown := [token for token in (*ratings, *best) if token not in tokens]:
        raise InvalidJudgement(f"answers for {len(unknown)} cards that are not on this page; reload it and judge again")
    values = {position: _rating(position, ratings.get(token)) for position, token in enumerate(tokens)}
    if len(best) != 1:
        letters = ", ".join(card_letter(position) for position in range(len(tokens)))
        picked = "no best pick" if not best else f"{len(best)} best picks"
        raise InvalidJudgement(f"{picked}; expected exactly one of the cards {letters}")
    return Judgement(values, tokens.index(best[0]))


def _rating(position: int, submitted: int | str | None) -> int:
    card = f"card {card_letter(position)}"
    if submitted is None or submitted == "":
        raise InvalidJudgement(f"no rating on {card}; expected 1-5")
    value = _VALUES.get(str(submitted))
    if value is None:
        raise InvalidJudgement(f"rating {str(submitted)[:20]} on {card}; expected 1-5")
    return value


def _locked_assignment(session: Session, rater: Rater, token: str) -> Assignment:
    """The assignment, with no one else judging it or closing the study until this transaction ends.

    On PostgreSQL the study's row is locked against a close, shared with other raters, and the assignment's for this
    submission alone; ten equal ones sent at once follow each other and nine find it stored. SQLite has one writer at
    a time anyway.
    """
    study = sa.select(Study.status).join(Rater, Rater.study_id == Study.id).where(Rater.id == rater.id)
    status = session.scalar(study.with_for_update(read=True, of=Study))
    live_rater(session, rater)
    mine = sa.select(Assignment).where(Assignment.rater_id == rater.id, Assignment.token == token)
    assignment = session.scalar(mine.with_for_update(of=Assignment).execution_options(populate_existing=True))
    if assignment is None:
        raise UnknownName("there is no such page among yours")
    if status != OPEN:
        raise Conflict("this study is closed and takes no more judgements")
    return assignment


def _cards(session: Session, assignment: Assignment) -> Sequence[Card]:
    query = sa.select(Card).where(Card.assignment_id == assignment.id).order_by(Card.position)
    return session.scalars(query).all()


def _stored_judgement(session: Session, assignment: Assignment, cards: Sequence[Card]) -> Judgement | None:
    if assignment.submitted_at is None:
        return None
    best = session.scalars(sa.select(BestPick.card_id).where(BestPick.assignment_id == assignment.id)).one()
    query = sa.select(Rating.card_id, Rating.value).where(Rating.card_id.in_([card.id for card in cards]))
    values = {row.card_id: row.value for row in session.execute(query)}
    ratings = {card.position: values[card.id] for card in cards}
    return Judgement(ratings, next(card.position for card in cards if card.id == best))


def _store_new(session: Session, assignment: Assignment, cards: Sequence[Card], judgement: Judgement) -> None:
    session.add_all(Rating(card_id=card.id, value=judgement.ratings[card.position]) for card in cards)
    session.add(BestPick(assignment_id=assignment.id, card_id=cards[judgement.best].id))


def _store_changed(session: Session, assignment: Assignment, cards: Sequence[Card], judgement: Judgement) -> None:
    # Statements, not changed objects: what this session read before it got the lock may be out of date.
    for card in cards:
        value = judgement.ratings[card.position]
        session.execute(sa.update(Rating).where(Rating.card_id == card.id).values(value=value))
    best = sa.update(BestPick).where(BestPick.assignment_id == assignment.id)
    session.execute(best.values(card_id=cards[judgement.best].id))


def _stamp(assignment: Assignment, now: datetime, is_new: bool) -> None:
    """The moment of the judgement that is stored; how long the first one took; how often it was changed."""
    assignment.submitted_at = now
    if not is_new:
        assignment.revisions += 1
    elif assignment.shown_at is not None:
        assignment.seconds = max(0.0, (now - assignment.shown_at).total_seconds())
