"""What a study found, once its results may be seen: Table 5, what it rests on, and whether the blinding held."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.studies.audit import UNMASKED, AuditLine, audit_lines
from app.studies.models import Assignment, Card, CardCondition, Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.queries import condition_names, counted_raters, study_with_results
from app.studies.results.blinding_index import BlindingIndex, blinding_index, guesses_of
from app.studies.results.exclusion import excluded_raters
from app.studies.results.judgements import qualities
from app.studies.results.quality import RaterQuality
from app.studies.results.ratings import RatingRow, rating_rows
from app.studies.results.table5 import JudgedText, Table5Row, table5


@dataclass(frozen=True)
class StudyResults:
    """A study's Table 5 and what it rests on.

    rows: Table 5 as declared, without excluded raters; rows_of_all: with them. n_raters: who judged anything; excluded:
    the reason by rater number. n_judgements: those with ratings; n_cannot_judge: those without, both of all raters.
    n_merged_cards: judged cards that stood for several conditions. n_checks, n_checks_failed: over all raters.
    events: what admins did, unmaskings first.
    """

    slug: str
    title: str
    subject: str
    status: str
    protocol: Protocol
    conditions: tuple[tuple[str, str], ...]
    n_neurons: int
    n_raters: int
    excluded: dict[int, str]
    n_judgements: int
    n_cannot_judge: int
    n_merged_cards: int
    n_checks: int
    n_checks_failed: int
    blinding: BlindingIndex
    design_hash: str
    opened_at: datetime | None
    closed_at: datetime | None
    rows: tuple[Table5Row, ...]
    rows_of_all: tuple[Table5Row, ...]
    events: tuple[AuditLine, ...]

    @property
    def unmaskings(self) -> tuple[AuditLine, ...]:
        return tuple(line for line in self.events if line.kind == UNMASKED)


def study_results(session: Session, slug: str) -> StudyResults:
    """The results of a study that is closed or unmasked. Errors: UnknownName; Conflict under the embargo."""
    study = study_with_results(session, slug)
    protocol = Protocol.model_validate(study.protocol)
    of_raters = qualities(session, study)
    excluded = excluded_raters(of_raters, protocol)
    rows = list(rating_rows(session, study))
    return StudyResults(
        slug=study.slug,
        title=study.title,
        subject=study.subject.name,
        status=study.status,
        protocol=protocol,
        conditions=condition_names(study),
        n_neurons=_n_neurons(session, study),
        n_raters=len(of_raters),
        excluded=excluded,
        n_judgements=_total(of_raters, "n_rated"),
        n_cannot_judge=_total(of_raters, "n_cannot_judge"),
        n_merged_cards=_n_merged_cards(session, study),
        n_checks=_total(of_raters, "n_checks"),
        n_checks_failed=_total(of_raters, "n_checks_failed"),
        blinding=blinding_index(guesses_of(session, study, excluded), len(study.conditions)),
        design_hash=study.design_hash or "",
        opened_at=study.opened_at,
        closed_at=study.closed_at,
        rows=_table5(study, [row for row in rows if row.is_analysed]),
        rows_of_all=_table5(study, [row for row in rows if not row.cannot_judge]),
        events=_events(session, study),
    )


def _total(of_raters: dict[int, RaterQuality], figure: str) -> int:
    return sum(getattr(quality, figure) for quality in of_raters.values())


def _table5(study: Study, rows: Sequence[RatingRow]) -> tuple[Table5Row, ...]:
    return table5([_judged_text(row, row.rating) for row in rows if row.rating is not None], condition_names(study))


def _judged_text(row: RatingRow, rating: int) -> JudgedText:
    return JudgedText((row.rater, row.layer, row.neuron), row.method, row.explainer, rating, row.best_share)


def _n_neurons(session: Session, study: Study) -> int:
    query = sa.select(sa.func.count()).select_from(StudyNeuron).where(StudyNeuron.study_id == study.id)
    return session.scalar(query) or 0


def _n_merged_cards(session: Session, study: Study) -> int:
    is_judged = (Assignment.submitted_at.is_not(None), Assignment.cannot_judge.is_(None))
    cards = sa.select(Card.id).join(Assignment, Card.assignment_id == Assignment.id).join(Rater)
    mine = cards.join(CardCondition, CardCondition.card_id == Card.id).where(counted_raters(study.id), *is_judged)
    merged = mine.group_by(Card.id).having(sa.func.count() > 1)
    return session.scalar(sa.select(sa.func.count()).select_from(merged.subquery())) or 0


def _events(session: Session, study: Study) -> tuple[AuditLine, ...]:
    return tuple(sorted(audit_lines(session, study), key=lambda line: line.kind != UNMASKED))
