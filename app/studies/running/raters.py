"""A study's raters as its admin sees them: which step each is at and how far, never what was judged."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.dealing.slots import is_live, numbered_rater
from app.studies.models import Assignment, PracticeAnswer, Rater, Study

INVITED, PRACTISING, JUDGING, STALLED = "invited", "in practice", "judging", "stalled"
FINISHED, FAILED, EXPIRED, REVOKED, DELETED = "finished", "failed practice", "link expired", "revoked", "deleted"
STAGES = (INVITED, PRACTISING, JUDGING, STALLED, FINISHED, FAILED, EXPIRED, REVOKED, DELETED)
UNDER_WAY = (INVITED, PRACTISING, JUDGING, STALLED)
"""Stages of which judgements may still come."""
SELDOM = (FAILED, EXPIRED, REVOKED, DELETED)
"""Stages that are worth a word only when somebody is at them."""


@dataclass(frozen=True)
class RaterLine:
    """One rater. name: as in exports, `rater-1`. stage: one of STAGES. n_judged of the n_held neurons held now.

    seen_at: to within a minute; None: never came.
    """

    number: int
    name: str
    stage: str
    n_judged: int
    n_held: int
    invited_at: datetime
    expires_at: datetime
    seen_at: datetime | None

    @property
    def n_open(self) -> int:
        return self.n_held - self.n_judged

    @property
    def is_gone(self) -> bool:
        return self.stage in (REVOKED, DELETED)


@dataclass(frozen=True)
class NeuronOfRater:
    """One neuron that a rater was dealt, without the answers. position: from 1. seconds: see JudgementRow."""

    position: int
    layer: int
    index: int
    submitted_at: datetime | None
    reclaimed_at: datetime | None
    seconds: float | None
    revisions: int


@dataclass(frozen=True)
class PracticeAttempt:
    """n_right of n_puzzles were answered right in this attempt, counted from 1."""

    attempt: int
    n_right: int
    n_puzzles: int


@dataclass(frozen=True)
class RaterRecord:
    """Everything about one rater but the answers. external: (name, value) of what a recruiting platform said."""

    line: RaterLine
    consented_at: datetime | None
    instructed_at: datetime | None
    passed_practice_at: datetime | None
    failed_practice_at: datetime | None
    finished_at: datetime | None
    surveyed_at: datetime | None
    revoked_at: datetime | None
    deleted_at: datetime | None
    lease_until: datetime | None
    external: tuple[tuple[str, str], ...]
    comment: str | None
    attempts: tuple[PracticeAttempt, ...]
    neurons: tuple[NeuronOfRater, ...]


def rater_lines(session: Session, study: Study, now: datetime) -> tuple[RaterLine, ...]:
    """The study's raters by number, without dry runs."""
    query = _lines().where(Rater.study_id == study.id, Rater.is_dry_run.is_(False)).order_by(Rater.number)
    return tuple(_line(*row, now) for row in session.execute(query))


def rater_record(session: Session, study: Study, number: int, now: datetime) -> RaterRecord:
    """One rater of the study. Errors: UnknownName."""
    rater = numbered_rater(session, study, number)
    row = session.execute(_lines().where(Rater.id == rater.id)).one()
    names = ("Person", "Study there", "Session there")
    external = zip(names, (rater.external_id, rater.external_study, rater.external_session), strict=True)
    return RaterRecord(
        line=_line(*row, now),
        consented_at=rater.consented_at,
        instructed_at=rater.instructed_at,
        passed_practice_at=rater.passed_practice_at,
        failed_practice_at=rater.failed_practice_at,
        finished_at=rater.finished_at,
        surveyed_at=rater.surveyed_at,
        revoked_at=rater.revoked_at,
        deleted_at=rater.deleted_at,
        lease_until=rater.lease_until,
        external=tuple((name, value) for name, value in external if value),
        comment=rater.comment,
        attempts=practice_attempts(session, study).get(number, ()),
        neurons=_neurons(session, rater),
    )


def practice_attempts(session: Session, study: Study) -> dict[int, tuple[PracticeAttempt, ...]]:
    """The attempts at practice, in their order, by number of the rater."""
    n_right = sa.func.sum(sa.case((PracticeAnswer.is_right, 1), else_=0))
    query = (
        sa.select(Rater.number, PracticeAnswer.attempt, n_right, sa.func.count())
        .join(Rater, Rater.id == PracticeAnswer.rater_id)
        .where(Rater.study_id == study.id)
        .group_by(Rater.number, PracticeAnswer.attempt)
        .order_by(Rater.number, PracticeAnswer.attempt)
    )
    attempts: dict[int, tuple[PracticeAttempt, ...]] = {}
    for number, attempt, right, n in session.execute(query):
        attempts[number] = (*attempts.get(number, ()), PracticeAttempt(attempt, right, n))
    return attempts


def raters_by_stage(lines: Iterable[RaterLine]) -> tuple[tuple[str, int], ...]:
    """(stage, how many) in the order of STAGES; the seldom ones only where somebody is at them."""
    counted = Counter(line.stage for line in lines)
    return tuple((stage, counted[stage]) for stage in STAGES if counted[stage] or stage not in SELDOM)


def stage_of(rater: Rater, n_judged: int, n_held: int, n_taken: int, now: datetime) -> str:
    """Where this rater is, one of STAGES. n_judged of the n_held neurons held now; n_taken: reclaimed ones."""
    ended = _end_of(rater)
    if ended is not None:
        return ended
    # A lease ends with neurons in hand, or after they were taken: both mean that nobody is at work.
    is_over = rater.lease_until is not None and rater.lease_until < now
    if is_over and (n_held > n_judged or n_taken or not n_judged):
        return STALLED
    if rater.passed_practice_at is not None or n_held:
        return JUDGING
    if any((rater.seen_at, rater.consented_at, rater.instructed_at)):
        return PRACTISING
    return EXPIRED if rater.expires_at <= now else INVITED


def _end_of(rater: Rater) -> str | None:
    ends = (
        (rater.deleted_at, DELETED),
        (rater.revoked_at, REVOKED),
        (rater.failed_practice_at, FAILED),
        (rater.finished_at, FINISHED),
    )
    return next((stage for moment, stage in ends if moment is not None), None)


def _lines() -> sa.Select[*tuple[Rater, int, int, int]]:
    """Each rater with the number of judgements, of neurons held and of neurons reclaimed."""
    # count() of a column leaves out nulls: of submitted_at it counts the judgements, of a case what it is true of.
    held, taken = (sa.func.count(sa.case((condition, Assignment.id))) for condition in (is_live(), ~is_live()))
    query = sa.select(Rater, sa.func.count(Assignment.submitted_at), held, taken)
    return query.outerjoin(Assignment, Assignment.rater_id == Rater.id).group_by(Rater.id)


def _line(rater: Rater, n_judged: int, n_held: int, n_taken: int, now: datetime) -> RaterLine:
    return RaterLine(
        number=rater.number,
        name=f"rater-{rater.number}",
        stage=stage_of(rater, n_judged, n_held, n_taken, now),
        n_judged=n_judged,
        n_held=n_held,
        invited_at=rater.invited_at,
        expires_at=rater.expires_at,
        seen_at=rater.seen_at,
    )


def _neurons(session: Session, rater: Rater) -> tuple[NeuronOfRater, ...]:
    times = (Assignment.submitted_at, Assignment.reclaimed_at, Assignment.seconds, Assignment.revisions)
    query = sa.select(Assignment.position + 1, Neuron.layer, Neuron.index, *times).join(Assignment.neuron)
    rows = session.execute(query.where(Assignment.rater_id == rater.id).order_by(Assignment.position))
    return tuple(NeuronOfRater(*row) for row in rows)
