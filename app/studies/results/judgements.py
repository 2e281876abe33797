"""A study's judgements as stored, one row per rater and neuron, without the methods: for the export and for quality."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.models import Assignment, BestPick, Card, Rater, Rating, Study
from app.studies.protocol import Protocol
from app.studies.queries import counted_raters
from app.studies.results.quality import JudgementRow, RaterQuality, by_rater

ROWS_AT_ONCE = 1000
FEWEST_CARDS_FOR_STRAIGHT_LINE = 3
"""Two descriptions may well deserve the same rating."""


def judgement_rows(session: Session, study: Study, rater_number: int | None = None) -> Iterator[JudgementRow]:
    """Every judgement that counts, sorted by rater and place in the rater's order; rater_number: only this rater's."""
    query = _query(study) if rater_number is None else _query(study).where(Rater.number == rater_number)
    for row in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        yield _judgement_row(row)


def qualities(session: Session, study: Study) -> dict[int, RaterQuality]:
    """The figures of every rater whose judgements count, by number; who has judged nothing is not there."""
    return by_rater(judgement_rows(session, study), Protocol.model_validate(study.protocol).too_fast_seconds)


def _judgement_row(row: sa.Row[*tuple[Any, ...]]) -> JudgementRow:
    # What was clicked before the rater found that the neuron cannot be judged stays stored, and counts for nothing.
    is_judged = row.cannot_judge is None
    has_enough_cards = row.n_rated >= FEWEST_CARDS_FOR_STRAIGHT_LINE
    return JudgementRow(
        rater_number=row.number,
        layer=row.layer,
        neuron=row.neuron,
        position=row.position + 1,
        submitted_at=row.submitted_at,
        seconds=row.seconds,
        revisions=row.revisions,
        cannot_judge=row.cannot_judge,
        comment=row.comment,
        evidence=row.evidence,
        check_rating=row.check_rating if is_judged else None,
        is_check_best=is_judged and bool(row.is_check_best),
        is_straight_line=is_judged and has_enough_cards and row.lowest == row.highest,
    )


def _query(study: Study) -> sa.Select[*tuple[Any, ...]]:
    is_picked = sa.and_(Card.is_check, BestPick.card_id == Card.id)
    cards = (
        sa.func.count(Rating.value).label("n_rated"),
        sa.func.min(Rating.value).label("lowest"),
        sa.func.max(Rating.value).label("highest"),
        sa.func.max(sa.case((Card.is_check, Rating.value))).label("check_rating"),
        sa.func.max(sa.case((is_picked, 1), else_=0)).label("is_check_best"),
    )
    # Counted in a query of its own: PostgreSQL cannot group by a JSON column.
    counted = (
        sa.select(Assignment.id, *cards)
        .join(Rater, Assignment.rater_id == Rater.id)
        .join(Card, Card.assignment_id == Assignment.id)
        .outerjoin(Rating, Rating.card_id == Card.id)
        .outerjoin(BestPick, BestPick.assignment_id == Assignment.id)
        .where(counted_raters(study.id), Assignment.submitted_at.is_not(None))
        .group_by(Assignment.id)
        .subquery()
    )
    frame = (
        Assignment.position,
        Assignment.submitted_at,
        Assignment.seconds,
        Assignment.revisions,
        Assignment.cannot_judge,
        Assignment.comment,
        Assignment.evidence,
    )
    return (
        sa.select(Rater.number, Neuron.layer, Neuron.index.label("neuron"), *frame, *list(counted.c)[1:])
        .join(counted, counted.c.id == Assignment.id)
        .join(Rater, Assignment.rater_id == Rater.id)
        .join(Neuron, Assignment.neuron_id == Neuron.id)
        .order_by(Rater.number, Assignment.position)
    )
