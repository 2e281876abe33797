"""Takes judgements in: as they are entered, then submitted whole; once however often sent, every change on record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, UnknownName
from app.studies.dealing.slots import is_live
from app.studies.models import Assignment, BestPick, Card, JudgementEvent, Rater, Rating, Study
from app.studies.rating.entries import CANNOT_JUDGE as CANNOT_JUDGE
from app.studies.rating.entries import Entries, Judgement, check_complete, checked_entries
from app.studies.rating.reading import live_rater, takes_answers

SAVED, SUBMITTED, REVISED = "saved", "submitted", "revised"
"""Kinds of events: entered before the submission; the submission; changed after it."""


@dataclass(frozen=True)
class Outcome:
    """What a submission did. Neither new nor changed: the same judgement was there already and nothing was touched.

    version: of the assignment, after it.
    """

    is_new: bool
    is_changed: bool
    version: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Saved:
    """What an autosave did. version: of the assignment, after it; is_changed: False when the same was there already."""

    version: int
    is_changed: bool


class StaleJudgement(Conflict):
    """Answers from a page that was loaded before the stored ones came in from elsewhere; nothing of them is stored.

    version, stored: what there is now, with the tokens of its cards.
    """

    def __init__(self, version: int, stored: Entries):
        super().__init__("this neuron was changed in another tab or on another device; nothing of yours was stored")
        self.version, self.stored = version, stored


def record_judgement(
    session: Session,
    rater: Rater,
    token: str,
    ratings: Mapping[str, int | str],
    best: Sequence[str],
    now: datetime,
    *,
    version: int | None = None,
    cannot_judge: str = "",
    comment: str = "",
) -> Outcome:
    """Stores a rater's judgement of one assignment, or the change of an earlier one.

    ratings, best, cannot_judge, comment: as in `Entries`; with a reason in cannot_judge no rating is needed.
    version: of the assignment that these answers were entered over; None: over whatever there is.
    Errors: InvalidJudgement unless every card has a rating of 1-5 and exactly one is best; UnknownName for a token
    that is not this rater's or was reclaimed; NotAllowed when revoked; StaleJudgement; Conflict when the study takes no
    judgements or the rater has finished. Nothing is stored when it raises.
    """
    page = _LockedPage(session, rater, token)
    judgement = checked_entries(page.tokens, Entries(ratings, best, cannot_judge, comment))
    check_complete(page.tokens, judgement)
    is_new = page.assignment.submitted_at is None
    is_changed = page.store(judgement, version, now, SUBMITTED if is_new else REVISED)
    return Outcome(is_new, is_changed and not is_new, page.assignment.version)


def save_entries(
    session: Session, rater: Rater, token: str, entries: Entries, version: int | None, now: datetime
) -> Saved:
    """Stores what is on a rater's page at this moment, complete or not; see record_judgement for version and errors.

    A judgement that was submitted stays submitted and complete: what the entries lack keeps its stored value.
    """
    page = _LockedPage(session, rater, token)
    judgement = checked_entries(page.tokens, entries)
    is_submitted = page.assignment.submitted_at is not None
    if is_submitted:
        judgement = judgement.completed_by(page.stored, len(page.cards))
    is_changed = page.store(judgement, version, now, REVISED if is_submitted else SAVED)
    return Saved(page.assignment.version, is_changed)


class _LockedPage:
    """One assignment with what is stored for it, and nobody else changing it until this transaction ends."""

    def __init__(self, session: Session, rater: Rater, token: str):
        self.session = session
        self.assignment = _locked_assignment(session, rater, token)
        query = sa.select(Card).where(Card.assignment_id == self.assignment.id).order_by(Card.position)
        self.cards = session.scalars(query).all()
        self.tokens = [card.token for card in self.cards]
        self.stored = _stored_judgement(session, self.assignment, self.cards)

    def store(self, judgement: Judgement, version: int | None, now: datetime, kind: str) -> bool:
        """Stores the judgement with its event; False when there was nothing to do. Errors: StaleJudgement."""
        is_same = judgement == self.stored
        if is_same and kind != SUBMITTED:
            return False
        # Equal answers are never stale: what the sender wants is what there is.
        if not is_same and version is not None and version < self.assignment.version:
            raise StaleJudgement(self.assignment.version, _entries(self.tokens, self.stored))
        if not is_same:
            _replace(self.session, self.assignment, self.cards, judgement)
        _stamp(self.assignment, now, kind)
        event = JudgementEvent(assignment_id=self.assignment.id, at=now, kind=kind, judgement=judgement.as_json())
        self.session.add(event)
        self.session.flush()
        return True


def _locked_assignment(session: Session, rater: Rater, token: str) -> Assignment:
    """The assignment, with no one else judging it, closing the study or finishing until this transaction ends.

    On PostgreSQL the study's row is locked against a close, a reclaim and the rater's own finishing, shared with other
    raters, and the assignment's for this request alone; ten equal ones sent at once follow each other and nine find it
    stored. SQLite has one writer at a time anyway.
    """
    study = sa.select(Study.id).join(Rater, Rater.study_id == Study.id).where(Rater.id == rater.id)
    session.execute(study.with_for_update(read=True, of=Study))
    stored = live_rater(session, rater)
    mine = sa.select(Assignment).where(Assignment.rater_id == rater.id, Assignment.token == token, is_live())
    assignment = session.scalar(mine.with_for_update(of=Assignment).execution_options(populate_existing=True))
    if assignment is None:
        raise UnknownName("there is no such page among yours")
    if not takes_answers(stored.study, stored):
        raise Conflict("this study is closed and takes no more judgements")
    if stored.finished_at is not None:
        raise Conflict("you have finished, and your answers stand")
    return assignment


def _stored_judgement(session: Session, assignment: Assignment, cards: Sequence[Card]) -> Judgement:
    places = {card.id: card.position for card in cards}
    best = session.scalar(sa.select(BestPick.card_id).where(BestPick.assignment_id == assignment.id))
    query = sa.select(Rating.card_id, Rating.value).where(Rating.card_id.in_(places))
    ratings = {places[row.card_id]: row.value for row in session.execute(query)}
    return Judgement(ratings, None if best is None else places[best], assignment.cannot_judge, assignment.comment or "")


def _entries(tokens: Sequence[str], judgement: Judgement) -> Entries:
    """A stored judgement in the words of the rater's page."""
    return Entries(
        ratings={tokens[position]: value for position, value in sorted(judgement.ratings.items())},
        best=() if judgement.best is None else (tokens[judgement.best],),
        cannot_judge=judgement.cannot_judge or "",
        comment=judgement.comment,
    )


def _replace(session: Session, assignment: Assignment, cards: Sequence[Card], judgement: Judgement) -> None:
    # Statements, not changed objects: what this session read before it got the lock may be out of date.
    session.execute(sa.delete(Rating).where(Rating.card_id.in_([card.id for card in cards])))
    session.execute(sa.delete(BestPick).where(BestPick.assignment_id == assignment.id))
    rows = [{"card_id": cards[position].id, "value": value} for position, value in judgement.ratings.items()]
    if rows:
        session.execute(sa.insert(Rating), rows)
    if judgement.best is not None:
        session.execute(sa.insert(BestPick).values(assignment_id=assignment.id, card_id=cards[judgement.best].id))
    assignment.cannot_judge = judgement.cannot_judge
    assignment.comment = judgement.comment or None


def _stamp(assignment: Assignment, now: datetime, kind: str) -> None:
    """Counts the change. The moment is that of the judgement which is stored, the seconds are those of the first."""
    assignment.version += 1
    if kind == SAVED:
        return
    assignment.submitted_at = now
    if kind == REVISED:
        assignment.revisions += 1
    elif assignment.shown_at is not None:
        assignment.seconds = max(0.0, (now - assignment.shown_at).total_seconds())
