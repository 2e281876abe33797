"""What a rater may see: progress, and one neuron with its cards. No method, database id, time or other rater in it."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from app.errors import Conflict, NotAllowed, UnknownName
from app.neurons.models import Neuron
from app.neurons.reading import load_records
from app.neurons.records import ActivationRecord
from app.studies.models import OPEN, Assignment, Card, Rater, Study

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class RaterProgress:
    """Where a rater stands. is_open: whether the study still takes judgements."""

    study_title: str
    instructions: str
    n_judged: int
    n_assignments: int
    is_open: bool

    @property
    def is_finished(self) -> bool:
        return self.n_judged == self.n_assignments


@dataclass(frozen=True)
class RatingCard:
    """One description.

    letter: its name on this page, by position. rating, is_best: as stored, None and False before.
    """

    token: str
    letter: str
    text: str
    rating: int | None
    is_best: bool


@dataclass(frozen=True)
class RatingPage:
    """One assignment.

    number: from 1, of n_assignments. maximum: the largest activation on the page, the scale's 10.
    was_shown: whether the clock has started. previous, next: tokens of the neighbours in this rater's order.
    """

    token: str
    study_title: str
    instructions: str
    layer: int
    index: int
    number: int
    n_assignments: int
    n_judged: int
    top: tuple[ActivationRecord, ...]
    random: tuple[ActivationRecord, ...]
    maximum: float
    cards: tuple[RatingCard, ...]
    is_judged: bool
    was_shown: bool
    previous: str | None
    next: str | None

    @property
    def best(self) -> str | None:
        """The token of the card picked as best."""
        return next((card.token for card in self.cards if card.is_best), None)


def live_rater(session: Session, rater: Rater) -> Rater:
    """This rater as stored now, with the study loaded.

    Errors: NotAllowed when the invitation was withdrawn after the browser came in.
    """
    query = sa.select(Rater).options(joinedload(Rater.study)).where(Rater.id == rater.id)
    stored = session.scalar(query.execution_options(populate_existing=True))
    if stored is None or stored.revoked_at is not None:
        raise NotAllowed("this invitation has been withdrawn")
    return stored


def rater_progress(session: Session, rater: Rater) -> RaterProgress:
    """How far this rater is; works for a closed study too. Errors: NotAllowed when revoked."""
    study = live_rater(session, rater).study
    counts = sa.select(sa.func.count(Assignment.submitted_at), sa.func.count()).where(Assignment.rater_id == rater.id)
    n_judged, n_assignments = session.execute(counts).one()
    return RaterProgress(study.title, study.instructions, n_judged, n_assignments, study.status == OPEN)


def next_assignment(session: Session, rater: Rater) -> str | None:
    """Token of this rater's first assignment without a judgement; None when all are judged.

    Errors: NotAllowed when revoked.
    """
    live_rater(session, rater)
    mine = sa.select(Assignment.token).where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_(None))
    return session.scalar(mine.order_by(Assignment.position).limit(1))


def assignment_page(session: Session, rater: Rater, token: str) -> RatingPage:
    """One assignment of this rater, as often as asked the same.

    Errors: NotAllowed when revoked; Conflict when the study is closed; UnknownName for a token that is not this
    rater's.
    """
    if live_rater(session, rater).study.status != OPEN:
        raise Conflict("this study is closed and takes no more judgements")
    assignment = _assignment(session, rater, token)
    progress = rater_progress(session, rater)
    records = load_records(session, assignment.neuron)
    return RatingPage(
        token=token,
        study_title=progress.study_title,
        instructions=progress.instructions,
        layer=records.layer,
        index=records.index,
        number=assignment.position + 1,
        n_assignments=progress.n_assignments,
        n_judged=progress.n_judged,
        top=records.top,
        random=records.random,
        maximum=max((record.maximum for record in records.top + records.random), default=0.0),
        cards=_cards(assignment),
        is_judged=assignment.submitted_at is not None,
        was_shown=assignment.shown_at is not None,
        previous=_token_at(session, rater, assignment.position - 1),
        next=_token_at(session, rater, assignment.position + 1),
    )


def mark_shown(session: Session, rater: Rater, token: str, now: datetime) -> None:
    """Starts the clock of an assignment when its page is first shown; later calls change nothing.

    A token that is not this rater's, or a study that is closed, changes nothing either: the page itself says so.
    """
    open_raters = sa.select(Rater.id).join(Rater.study).where(Rater.id == rater.id, Study.status == OPEN)
    mine = (Assignment.token == token, Assignment.rater_id.in_(open_raters), Assignment.shown_at.is_(None))
    session.execute(sa.update(Assignment).where(*mine).values(shown_at=now))


def _assignment(session: Session, rater: Rater, token: str) -> Assignment:
    # The cards' conditions are not loaded: what is not there cannot slip onto the page.
    with_cards = selectinload(Assignment.cards).joinedload(Card.rating)
    with_neuron = joinedload(Assignment.neuron).joinedload(Neuron.subject)
    query = sa.select(Assignment).options(with_cards, with_neuron, joinedload(Assignment.best_pick))
    mine = query.where(Assignment.rater_id == rater.id, Assignment.token == token)
    assignment = session.scalar(mine.execution_options(populate_existing=True))
    if assignment is None:
        raise UnknownName("there is no such page among yours")
    return assignment


def _cards(assignment: Assignment) -> tuple[RatingCard, ...]:
    best_id = None if assignment.best_pick is None else assignment.best_pick.card_id
    return tuple(
        RatingCard(
            token=card.token,
            letter=card_letter(card.position),
            text=card.text,
            rating=None if card.rating is None else card.rating.value,
            is_best=card.id == best_id,
        )
        for card in assignment.cards
    )


def card_letter(position: int) -> str:
    """A card's name on its page: A for the first; from the 27th on AA, AB, ..."""
    tens, ones = divmod(position, len(LETTERS))
    return (LETTERS[tens - 1] if tens else "") + LETTERS[ones]


def _token_at(session: Session, rater: Rater, position: int) -> str | None:
    mine = sa.select(Assignment.token).where(Assignment.rater_id == rater.id, Assignment.position == position)
    return session.scalar(mine)
