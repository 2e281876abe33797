"""What admins read about studies: lists, progress by counts, and results, but no judgement before the closing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, UnknownName
from app.neurons.models import SubjectModel
from app.studies.models import CLOSED, Assignment, Card, CardCondition, Condition, Rater, Study, StudyNeuron
from app.studies.ratings import RatingRow, rating_rows
from app.studies.table5 import JudgedText, Table5Row, table5


@dataclass(frozen=True)
class StudySummary:
    """A study's line in the list. n_judged of n_assignments are done, over all raters."""

    slug: str
    title: str
    status: str
    subject: str
    n_neurons: int
    n_conditions: int
    n_raters: int
    n_judged: int
    n_assignments: int
    created_at: datetime


@dataclass(frozen=True)
class RaterStatus:
    """How far one rater is: counts only, never what was judged. name: as in exports, `rater-1`."""

    number: int
    name: str
    n_judged: int
    n_assignments: int
    invited_at: datetime
    expires_at: datetime
    is_revoked: bool


@dataclass(frozen=True)
class StudyStatus:
    """A study as its admin sees it while it runs. conditions: (method, explainer) in the order of the tables."""

    slug: str
    title: str
    status: str
    subject: str
    instructions: str
    neuron_set: dict[str, Any]
    conditions: tuple[tuple[str, str], ...]
    n_neurons: int
    design_hash: str | None
    created_at: datetime
    opened_at: datetime | None
    closed_at: datetime | None
    raters: tuple[RaterStatus, ...]

    @property
    def n_raters(self) -> int:
        return len(self.raters)

    @property
    def n_judged(self) -> int:
        return sum(rater.n_judged for rater in self.raters)

    @property
    def n_assignments(self) -> int:
        return sum(rater.n_assignments for rater in self.raters)


@dataclass(frozen=True)
class StudyResults:
    """A closed study's Table 5 and what it rests on. n_merged_cards: judged cards that stood for several conditions."""

    slug: str
    title: str
    subject: str
    n_neurons: int
    n_raters: int
    n_judgements: int
    n_merged_cards: int
    design_hash: str
    closed_at: datetime
    rows: tuple[Table5Row, ...]


def study_named(session: Session, slug: str) -> Study:
    """The study of that slug. Errors: UnknownName."""
    return _found(session.scalar(sa.select(Study).where(Study.slug == slug)), slug)


def locked_study(session: Session, slug: str) -> Study:
    """The study, with the right to change it until the transaction ends: a second caller waits. Errors: UnknownName."""
    query = sa.select(Study).where(Study.slug == slug).with_for_update().execution_options(populate_existing=True)
    return _found(session.scalar(query), slug)


def _found(study: Study | None, slug: str) -> Study:
    if study is None:
        raise UnknownName(f"there is no study {slug!r}")
    return study


def closed_study(session: Session, slug: str) -> Study:
    """The study, when its results may be seen. Errors: UnknownName; Conflict while it is a draft or open."""
    study = study_named(session, slug)
    if study.status != CLOSED:
        raise Conflict(f"study {slug} is {study.status}; its results can be seen and exported once it is closed")
    return study


def list_studies(session: Session) -> list[StudySummary]:
    """All studies, newest first."""
    n_neurons = _count(StudyNeuron, StudyNeuron.study_id == Study.id)
    n_conditions = _count(Condition, Condition.study_id == Study.id)
    n_raters = _count(Rater, Rater.study_id == Study.id)
    mine = sa.select(sa.func.count()).select_from(Assignment).join(Rater).where(Rater.study_id == Study.id)
    n_judged = mine.where(Assignment.submitted_at.is_not(None)).scalar_subquery()
    columns = (n_neurons, n_conditions, n_raters, n_judged, mine.scalar_subquery(), Study.created_at)
    query = sa.select(Study.slug, Study.title, Study.status, SubjectModel.name, *columns).join(Study.subject)
    newest_first = query.order_by(Study.created_at.desc(), Study.id.desc())
    return [StudySummary(*row) for row in session.execute(newest_first)]


def _count(table: type[StudyNeuron | Condition | Rater], scope: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(table).where(scope).scalar_subquery()


def study_status(session: Session, slug: str) -> StudyStatus:
    """How far a study is, rater by rater. Errors: UnknownName."""
    study = study_named(session, slug)
    return StudyStatus(
        slug=study.slug,
        title=study.title,
        status=study.status,
        subject=study.subject.name,
        instructions=study.instructions,
        neuron_set=study.neuron_set,
        conditions=condition_names(study),
        n_neurons=_n_neurons(session, study),
        design_hash=study.design_hash,
        created_at=study.created_at,
        opened_at=study.opened_at,
        closed_at=study.closed_at,
        raters=_rater_statuses(session, study),
    )


def condition_names(study: Study) -> tuple[tuple[str, str], ...]:
    """(method, explainer) of each condition, in the study's order."""
    return tuple((condition.method, condition.explainer) for condition in study.conditions)


def _n_neurons(session: Session, study: Study) -> int:
    query = sa.select(sa.func.count()).select_from(StudyNeuron).where(StudyNeuron.study_id == study.id)
    return session.scalar(query) or 0


def _rater_statuses(session: Session, study: Study) -> tuple[RaterStatus, ...]:
    # count() of a column leaves out nulls: of submitted_at it counts the judgements, of id the assignments.
    counts = (sa.func.count(Assignment.submitted_at), sa.func.count(Assignment.id))
    query = sa.select(Rater, *counts).outerjoin(Assignment, Assignment.rater_id == Rater.id)
    mine = query.where(Rater.study_id == study.id).group_by(Rater.id).order_by(Rater.number)
    return tuple(_rater_status(rater, n_judged, n) for rater, n_judged, n in session.execute(mine))


def _rater_status(rater: Rater, n_judged: int, n_assignments: int) -> RaterStatus:
    is_revoked = rater.revoked_at is not None
    name = f"rater-{rater.number}"
    return RaterStatus(rater.number, name, n_judged, n_assignments, rater.invited_at, rater.expires_at, is_revoked)


def study_results(session: Session, slug: str) -> StudyResults:
    """Table 5 of a closed study. Errors: UnknownName; Conflict while it is not closed."""
    study = closed_study(session, slug)
    rows = list(rating_rows(session, study))
    return StudyResults(
        slug=study.slug,
        title=study.title,
        subject=study.subject.name,
        n_neurons=_n_neurons(session, study),
        n_raters=len({row.rater for row in rows}),
        n_judgements=len({(row.rater, row.layer, row.neuron) for row in rows}),
        n_merged_cards=_n_merged_cards(session, study),
        design_hash=study.design_hash or "",
        closed_at=study.closed_at or study.created_at,
        rows=table5(map(_judged_text, rows), condition_names(study)),
    )


def _judged_text(row: RatingRow) -> JudgedText:
    judgement = (row.rater, row.layer, row.neuron)
    return JudgedText(judgement, row.method, row.explainer, row.rating, row.best_share)


def _n_merged_cards(session: Session, study: Study) -> int:
    judged = (Rater.study_id == study.id, Assignment.submitted_at.is_not(None))
    cards = sa.select(Card.id).join(Assignment, Card.assignment_id == Assignment.id).join(Rater).where(*judged)
    merged = cards.join(CardCondition, CardCondition.card_id == Card.id).group_by(Card.id).having(sa.func.count() > 1)
    return session.scalar(sa.select(sa.func.count()).select_from(merged.subquery())) or 0
