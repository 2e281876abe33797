"""What a rater may see: progress, and one neuron with its cards. No method, database id, time or other rater in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from statistics import median

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from app.errors import Conflict, NotAllowed, UnknownName
from app.neurons.models import Neuron
from app.studies.dealing.slots import is_live
from app.studies.models import DRAFT, OPEN, Assignment, Card, Rater, Study
from app.studies.protocol import Protocol
from app.studies.rating.entries import card_letter
from app.studies.rating.excerpts import Band, shown_bands

NO_SUCH_PAGE = "there is no such page among yours"
N_JUDGED_TO_ESTIMATE = 3
"""Before so many judgements nobody can say how long the rest takes."""


@dataclass(frozen=True)
class RaterProgress:
    """Where a rater stands. is_open: whether the study still takes judgements; is_paused: it hands out no neurons."""

    study_title: str
    instructions: str
    n_judged: int
    n_assignments: int
    is_open: bool
    is_paused: bool

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

    is_neuron_named: whether layer and index may be shown. number: from 1, of n_assignments. minutes_left: whole ones,
    None while unknown. maximum: the largest activation on the page, the scale's 10. version: of the stored answers.
    is_judged: submitted; answers may be there before. is_finished: the rater has said that the answers stand.
    was_shown: whether the clock has started. previous, next: tokens of the neighbours in this rater's order.
    """

    token: str
    study_title: str
    instructions: str
    layer: int
    index: int
    is_neuron_named: bool
    number: int
    n_assignments: int
    n_judged: int
    minutes_left: int | None
    bands: tuple[Band, ...]
    maximum: float
    cards: tuple[RatingCard, ...]
    cannot_judge: str | None
    comment: str
    version: int
    is_judged: bool
    is_finished: bool
    was_shown: bool
    previous: str | None
    next: str | None

    @property
    def best(self) -> str | None:
        """The token of the card picked as best."""
        return next((card.token for card in self.cards if card.is_best), None)


def takes_answers(study: Study, rater: Rater) -> bool:
    """Whether the study takes this rater's answers: while it is open, those of a dry run before that too."""
    return study.status == OPEN or (rater.is_dry_run and study.status == DRAFT)


def live_rater(session: Session, rater: Rater) -> Rater:
    """This rater as stored now, with the study loaded.

    Errors: NotAllowed when the invitation was withdrawn after the browser came in.
    """
    query = sa.select(Rater).options(joinedload(Rater.study)).where(Rater.id == rater.id)
    stored = session.scalar(query.execution_options(populate_existing=True))
    if stored is None or stored.revoked_at is not None or stored.deleted_at is not None:
        raise NotAllowed("this invitation has been withdrawn")
    return stored


def rater_progress(session: Session, rater: Rater) -> RaterProgress:
    """How far this rater is; works for a closed study too. Errors: NotAllowed when revoked."""
    return _progress(session, live_rater(session, rater))


def _progress(session: Session, stored: Rater) -> RaterProgress:
    study = stored.study
    counts = sa.select(sa.func.count(Assignment.submitted_at), sa.func.count()).where(*_of(stored))
    n_judged, n_assignments = session.execute(counts).one()
    is_paused = study.paused_at is not None and not stored.is_dry_run
    is_open = takes_answers(study, stored)
    return RaterProgress(study.title, study.instructions, n_judged, n_assignments, is_open, is_paused)


def next_assignment(session: Session, rater: Rater) -> str | None:
    """Token of this rater's first assignment without a judgement; None when all are judged.

    Errors: NotAllowed when revoked.
    """
    live_rater(session, rater)
    mine = sa.select(Assignment.token).where(*_of(rater), Assignment.submitted_at.is_(None))
    return session.scalar(mine.order_by(Assignment.position).limit(1))


def assignment_page(session: Session, rater: Rater, token: str) -> RatingPage:
    """One assignment of this rater, as often as asked the same.

    Errors: NotAllowed when revoked; Conflict when the study is closed; UnknownName for a token that is not this
    rater's, or one whose neuron was given to others.
    """
    stored = live_rater(session, rater)
    if not takes_answers(stored.study, stored):
        raise Conflict("this study is closed and takes no more judgements")
    assignment = _assignment(session, rater, token)
    progress = _progress(session, stored)
    bands = shown_bands(session, assignment.neuron_id, assignment.evidence)
    order = session.scalars(sa.select(Assignment.token).where(*_of(rater)).order_by(Assignment.position)).all()
    if token not in order:
        # Reclaimed between the two queries.
        raise UnknownName(NO_SUCH_PAGE)
    place = order.index(token)
    return RatingPage(
        token=token,
        study_title=progress.study_title,
        instructions=progress.instructions,
        layer=assignment.neuron.layer,
        index=assignment.neuron.index,
        is_neuron_named=Protocol.model_validate(stored.study.protocol).names_neurons,
        number=place + 1,
        n_assignments=progress.n_assignments,
        n_judged=progress.n_judged,
        minutes_left=minutes_left(_seconds(session, rater), progress.n_assignments - progress.n_judged),
        bands=bands,
        maximum=max((record.maximum for band in bands for record in band.records), default=0.0),
        cards=_cards(assignment),
        cannot_judge=assignment.cannot_judge,
        comment=assignment.comment or "",
        version=assignment.version,
        is_judged=assignment.submitted_at is not None,
        is_finished=stored.finished_at is not None,
        was_shown=assignment.shown_at is not None,
        previous=order[place - 1] if place > 0 else None,
        next=order[place + 1] if place + 1 < len(order) else None,
    )


def mark_shown(session: Session, rater: Rater, token: str, now: datetime) -> None:
    """Starts the clock of an assignment when its page is first shown; later calls change nothing.

    A token that is not this rater's, or a study that is closed, changes nothing either: the page itself says so.
    """
    takes = sa.or_(Study.status == OPEN, sa.and_(Rater.is_dry_run, Study.status == DRAFT))
    open_raters = sa.select(Rater.id).join(Rater.study).where(Rater.id == rater.id, takes)
    mine = (Assignment.token == token, Assignment.rater_id.in_(open_raters), Assignment.shown_at.is_(None))
    session.execute(sa.update(Assignment).where(*mine).values(shown_at=now))


def minutes_left(seconds: Sequence[float], n_left: int) -> int | None:
    """How long n_left more judgements take at the median of the seconds so far, rounded up to whole minutes.

    None when none is left, or after too few to say.
    """
    if n_left == 0 or len(seconds) < N_JUDGED_TO_ESTIMATE:
        return None
    return max(1, ceil(median(seconds) * n_left / 60))


def _of(rater: Rater) -> tuple[sa.ColumnElement[bool], ...]:
    """Condition on Assignment: this rater's, and not given to others."""
    return (Assignment.rater_id == rater.id, is_live())


def _seconds(session: Session, rater: Rater) -> Sequence[float]:
    mine = sa.select(Assignment.seconds).where(*_of(rater), Assignment.seconds.is_not(None))
    return [seconds for seconds in session.scalars(mine) if seconds is not None]


def _assignment(session: Session, rater: Rater, token: str) -> Assignment:
    # The cards' conditions are not loaded: what is not there cannot slip onto the page.
    with_cards = selectinload(Assignment.cards).joinedload(Card.rating)
    with_neuron = joinedload(Assignment.neuron).load_only(Neuron.layer, Neuron.index)
    query = sa.select(Assignment).options(with_cards, with_neuron, joinedload(Assignment.best_pick))
    mine = query.where(*_of(rater), Assignment.token == token)
    assignment = session.scalar(mine.execution_options(populate_existing=True))
    if assignment is None:
        raise UnknownName(NO_SUCH_PAGE)
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
