"""Studies as admins look them up: by name, locked, with results or without; the list, and one study's state in counts.

No judgement is read here.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, UnknownName
from app.neurons.models import SubjectModel
from app.studies.audit import UNMASKED
from app.studies.models import CLOSED, Assignment, Condition, Rater, Study, StudyEvent, StudyNeuron
from app.studies.protocol import Protocol


@dataclass(frozen=True)
class StudySummary:
    """A study's line in the list. n_judged of n_wanted judgements are in; n_wanted is 0 for a draft."""

    slug: str
    title: str
    status: str
    subject: str
    n_neurons: int
    n_conditions: int
    n_raters: int
    n_judged: int
    n_wanted: int
    created_at: datetime


@dataclass(frozen=True)
class StudyStatus:
    """A study as its admin sees it. conditions: (method, explainer) in the order of the tables.

    n_raters: invited and not shut out. n_judged of n_wanted judgements are in. has_joining_link: anybody who has it may
    still come. are_results_open: closed, or unmasked.
    """

    slug: str
    title: str
    status: str
    subject: str
    instructions: str
    neuron_set: dict[str, Any]
    protocol: Protocol
    conditions: tuple[tuple[str, str], ...]
    n_neurons: int
    n_raters: int
    n_judged: int
    n_wanted: int
    design_hash: str | None
    created_at: datetime
    opened_at: datetime | None
    paused_at: datetime | None
    closed_at: datetime | None
    has_joining_link: bool
    are_results_open: bool


# Looking a study up ---------------------------------------------------------------------------------------------------


def study_named(session: Session, slug: str) -> Study:
    """The study of that slug. Errors: UnknownName."""
    return _found(session.scalar(sa.select(Study).where(Study.slug == slug)), slug)


def locked_study(session: Session, slug: str) -> Study:
    """The study, with the right to change it until the transaction ends: a second caller waits. Errors: UnknownName."""
    return _found(session.scalar(_locking(sa.select(Study).where(Study.slug == slug))), slug)


def locked_study_of(session: Session, rater_id: int) -> Study:
    """The rater's study, locked like `locked_study`. The rater must be there."""
    mine = sa.select(Rater.study_id).where(Rater.id == rater_id).scalar_subquery()
    return session.scalars(_locking(sa.select(Study).where(Study.id == mine))).one()


def _locking(query: sa.Select[Study]) -> sa.Select[Study]:
    # Not against those who only point at the study: a row of the rater's that a transaction changes twice does, by its
    # foreign key, and its holder would wait for us while we wait for the rater.
    return query.with_for_update(key_share=True).execution_options(populate_existing=True)


def _found(study: Study | None, slug: str) -> Study:
    if study is None:
        raise UnknownName(f"there is no study {slug!r}")
    return study


def study_with_results(session: Session, slug: str) -> Study:
    """The study, when its results may be seen: closed, or unmasked before.

    Errors: UnknownName; Conflict while it is a draft or under the embargo.
    """
    study = study_named(session, slug)
    if not are_results_open(session, study):
        raise Conflict(f"study {slug} is {study.status}; its results can be seen and exported once it is closed")
    return study


def are_results_open(session: Session, study: Study) -> bool:
    return study.status == CLOSED or is_unmasked(session, study)


def is_unmasked(session: Session, study: Study) -> bool:
    """Whether an admin once made the results visible before the closing."""
    found = sa.select(StudyEvent.id).where(StudyEvent.study_id == study.id, StudyEvent.kind == UNMASKED)
    return session.scalar(found.limit(1)) is not None


# Who and what counts --------------------------------------------------------------------------------------------------


def counted_raters(study_id: int) -> sa.ColumnElement[bool]:
    """Condition on Rater: of this study, no dry run, and not deleted. Their judgements count."""
    return sa.and_(Rater.study_id == study_id, Rater.is_dry_run.is_(False), Rater.deleted_at.is_(None))


def is_taking_part() -> sa.ColumnElement[bool]:
    """Condition on Rater: may still come, or is there, or has finished; no dry run."""
    gone = (Rater.revoked_at, Rater.deleted_at, Rater.failed_practice_at)
    return sa.and_(Rater.is_dry_run.is_(False), *(moment.is_(None) for moment in gone))


def n_wanted(protocol: Protocol, n_raters: int, n_for_everybody: int, n_limited: int) -> int:
    """How many judgements the design asks for.

    n_raters: who take part; the planned number when that is higher. n_for_everybody: neurons that every rater judges.
    n_limited: sum of the quotas of the others.
    """
    share = protocol.neurons_per_rater or n_for_everybody
    return max(protocol.n_raters, n_raters) * min(n_for_everybody, share) + n_limited


# The list and the state -----------------------------------------------------------------------------------------------


def list_studies(session: Session) -> list[StudySummary]:
    """All studies, newest first."""
    n_conditions = sa.select(sa.func.count(Condition.id)).where(Condition.study_id == Study.id).scalar_subquery()
    query = sa.select(Study, SubjectModel.name, n_conditions, *_counts()).join(Study.subject)
    rows = session.execute(query.order_by(Study.created_at.desc(), Study.id.desc()))
    return [_summary(*row) for row in rows]


def _summary(study: Study, subject: str, n_conditions: int, *counts: int) -> StudySummary:
    n_neurons, n_for_everybody, n_limited, n_raters, n_judged = counts
    wanted = _n_wanted(study, n_raters, n_for_everybody, n_limited)
    row = (study.slug, study.title, study.status, subject, n_neurons, n_conditions, n_raters, n_judged, wanted)
    return StudySummary(*row, study.created_at)


def _counts() -> tuple[sa.ScalarSelect[int], ...]:
    """Neurons, neurons for every rater, sum of the other quotas, raters taking part, judgements: all of `Study`."""
    neurons = sa.select(sa.func.count(StudyNeuron.neuron_id)).where(StudyNeuron.study_id == Study.id)
    limited = sa.select(sa.func.coalesce(sa.func.sum(StudyNeuron.quota), 0)).where(StudyNeuron.study_id == Study.id)
    raters = sa.select(sa.func.count(Rater.id)).where(Rater.study_id == Study.id, is_taking_part())
    judged = sa.select(sa.func.count(Assignment.id)).join(Rater, Assignment.rater_id == Rater.id)
    counted = (Rater.study_id == Study.id, Rater.is_dry_run.is_(False), Rater.deleted_at.is_(None))
    queries = (
        neurons,
        neurons.where(StudyNeuron.quota.is_(None)),
        limited,
        raters,
        judged.where(*counted, Assignment.submitted_at.is_not(None)),
    )
    return tuple(query.correlate(Study).scalar_subquery() for query in queries)


def _n_wanted(study: Study, n_raters: int, n_for_everybody: int, n_limited: int) -> int:
    # Quotas are set at opening: before that every neuron looks as if it were for everybody.
    if study.opened_at is None:
        return 0
    return n_wanted(Protocol.model_validate(study.protocol), n_raters, n_for_everybody, n_limited)


def study_status(session: Session, slug: str) -> StudyStatus:
    """A study's state and how far it is, in counts. Errors: UnknownName."""
    study = study_named(session, slug)
    counts = session.execute(sa.select(*_counts()).select_from(Study).where(Study.id == study.id)).one()
    n_neurons, n_for_everybody, n_limited, n_raters, n_judged = tuple(counts)
    return StudyStatus(
        slug=study.slug,
        title=study.title,
        status=study.status,
        subject=study.subject.name,
        instructions=study.instructions,
        neuron_set=study.neuron_set,
        protocol=Protocol.model_validate(study.protocol),
        conditions=condition_names(study),
        n_neurons=n_neurons,
        n_raters=n_raters,
        n_judged=n_judged,
        n_wanted=_n_wanted(study, n_raters, n_for_everybody, n_limited),
        design_hash=study.design_hash,
        created_at=study.created_at,
        opened_at=study.opened_at,
        paused_at=study.paused_at,
        closed_at=study.closed_at,
        has_joining_link=study.join_hash is not None,
        are_results_open=are_results_open(session, study),
    )


def condition_names(study: Study) -> tuple[tuple[str, str], ...]:
    """(method, explainer) of each condition, in the study's order."""
    return tuple((condition.method, condition.explainer) for condition in study.conditions)
