"""A study's ratings as plain rows, one per rater, neuron and condition: for the export and for Table 5."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.models import Assignment, BestPick, Card, CardCondition, Condition, Rater, Rating, Study
from app.studies.protocol import Protocol
from app.studies.queries import counted_raters
from app.studies.results.exclusion import excluded_raters
from app.studies.results.judgements import qualities

ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class RatingRow:
    """One condition's part in one judgement.

    explanation: the text that the rater read. card_position: from 1.
    methods_on_card: the methods of all conditions that this card stood for, in the study's order.
    rating: 1-5; None where the rater could not judge: then nothing is the best either.
    best_share: 1 over the number of conditions on the card when it was the best pick, else 0.
    seconds: from first shown to first submitted; None when the page was never marked as shown.
    excluded: why the declared rules leave this rater out of the analysis; empty: they do not.
    """

    rater: str
    layer: int
    neuron: int
    method: str
    explainer: str
    explanation: str
    card_position: int
    methods_on_card: tuple[str, ...]
    rating: int | None
    is_best: bool
    best_share: float
    cannot_judge: bool
    seconds: float | None
    revisions: int
    submitted_at: datetime
    excluded: str

    @property
    def is_analysed(self) -> bool:
        """Whether Table 5 counts it, as the study declared beforehand."""
        return not self.cannot_judge and not self.excluded


def rating_rows(session: Session, study: Study) -> Iterator[RatingRow]:
    """Every judged condition of this study, sorted by rater, place in the rater's order, card and condition.

    Checks, dry runs and deleted raters are not among them; excluded raters are, with the reason.
    """
    excluded = excluded_raters(qualities(session, study), Protocol.model_validate(study.protocol))
    rows = session.execute(_query(study).execution_options(yield_per=ROWS_AT_ONCE))
    for _, on_card in groupby(rows, key=lambda row: row.card_id):
        yield from _card_rows(list(on_card), excluded)


def _card_rows(conditions: list[sa.Row[Any]], excluded: Mapping[int, str]) -> Iterator[RatingRow]:
    """The rows of one card: its judgement counts for each of its conditions, its best pick is split equally."""
    methods = tuple(row.method for row in conditions)
    for row in conditions:
        # What was clicked before the rater found that the neuron cannot be judged stays stored, and counts for nothing.
        is_judged = row.cannot_judge is None
        is_best = is_judged and row.best_card_id == row.card_id
        yield RatingRow(
            rater=f"rater-{row.rater_number}",
            layer=row.layer,
            neuron=row.neuron,
            method=row.method,
            explainer=row.explainer,
            explanation=row.text,
            card_position=row.card_position + 1,
            methods_on_card=methods,
            rating=row.rating if is_judged else None,
            is_best=is_best,
            best_share=1 / len(conditions) if is_best else 0.0,
            cannot_judge=not is_judged,
            seconds=row.seconds,
            revisions=row.revisions,
            submitted_at=row.submitted_at,
            excluded=excluded.get(row.rater_number, ""),
        )


def _query(study: Study) -> sa.Select[*tuple[Any, ...]]:
    columns = (
        Rater.number.label("rater_number"),
        Neuron.layer,
        Neuron.index.label("neuron"),
        Assignment.seconds,
        Assignment.revisions,
        Assignment.submitted_at,
        Assignment.cannot_judge,
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
        .outerjoin(Rating, Rating.card_id == Card.id)
        .outerjoin(BestPick, BestPick.assignment_id == Assignment.id)
        .where(counted_raters(study.id), Assignment.submitted_at.is_not(None))
        .order_by(Rater.number, Assignment.position, Card.position, Condition.position)
    )
