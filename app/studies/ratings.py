"""A study's ratings as plain rows, one per rater, neuron and condition: for the export and for Table 5."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.models import Assignment, BestPick, Card, CardCondition, Condition, Rater, Rating, Study

ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class RatingRow:
    """One condition's part in one judgement.

    explanation: the text that the rater read. card_position: from 1.
    methods_on_card: the methods of all conditions that this card stood for, in the study's order.
    best_share: 1 over the number of conditions on the card when it was the best pick, else 0.
    seconds: from first shown to first submitted; None when the page was never marked as shown.
    """

    rater: str
    layer: int
    neuron: int
    method: str
    explainer: str
    explanation: str
    card_position: int
    methods_on_card: tuple[str, ...]
    rating: int
    is_best: bool
    best_share: float
    seconds: float | None
    revisions: int
    submitted_at: datetime


def rating_rows(session: Session, study: Study) -> Iterator[RatingRow]:
    """Every judged condition of this study, sorted by rater, place in the rater's order, card and condition."""
    rows = session.execute(_query(study).execution_options(yield_per=ROWS_AT_ONCE))
    for _, on_card in groupby(rows, key=lambda row: row.card_id):
        yield from _card_rows(list(on_card))


def _card_rows(conditions: list[sa.Row[Any]]) -> Iterator[RatingRow]:
    """The rows of one card: its judgement counts for each of its conditions, its best pick is split equally."""
    methods = tuple(row.method for row in conditions)
    for row in conditions:
        is_best = row.best_card_id == row.card_id
        yield RatingRow(
            rater=f"rater-{row.rater_number}",
            layer=row.layer,
            neuron=row.neuron,
            method=row.method,
            explainer=row.explainer,
            explanation=row.text,
            card_position=row.card_position + 1,
            methods_on_card=methods,
            rating=row.rating,
            is_best=is_best,
            best_share=1 / len(conditions) if is_best else 0.0,
            seconds=row.seconds,
            revisions=row.revisions,
            submitted_at=row.submitted_at,
        )


def _query(study: Study) -> sa.Select[*tuple[Any, ...]]:
    columns = (
        Rater.number.label("rater_number"),
        Neuron.layer,
        Neuron.index.label("neuron"),
        Assignment.seconds,
        Assignment.revisions,
        Assignment.submitted_at,
        Card.id.label("card_id"),
        Card.position.label("card_position"),
        Card.text,
        Condition.method,
        Condition.explainer,
        Rating.value.label("rating"),
        BestPick.card_id.label("best_card_id"),
    )
    return (
        sa.select(*columns)
        .select_from(Assignment)
        .join(Rater, Assignment.rater_id == Rater.id)
        .join(Neuron, Assignment.neuron_id == Neuron.id)
        .join(Card, Card.assignment_id == Assignment.id)
        .join(CardCondition, CardCondition.card_id == Card.id)
        .join(Condition, CardCondition.condition_id == Condition.id)
        .join(Rating, Rating.card_id == Card.id)
        .join(BestPick, BestPick.assignment_id == Assignment.id)
        .where(Rater.study_id == study.id, Assignment.submitted_at.is_not(None))
        .order_by(Rater.number, Assignment.position, Card.position, Condition.position)
    )
