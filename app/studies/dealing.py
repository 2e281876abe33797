"""Writes the assignments and cards of new raters: who judges which neuron, in which order, with which card where.

Every rater judges all neurons of the study (crossed). The orders come from design.py, the cards from blinding.py.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.studies.blinding import DealtCard, deal_cards
from app.studies.design import neuron_order
from app.studies.models import Assignment, Card, CardCondition, Condition, FrozenText, Rater, Study, StudyNeuron

TOKEN_BYTES = 16
Row = dict[str, Any]


def deal_assignments(session: Session, study: Study, raters: Sequence[Rater]) -> None:
    """Stores all assignments and cards of these raters, who are flushed and have none, of an opened study."""
    neuron_ids = _neuron_ids(session, study)
    texts = _texts(session, study, neuron_ids)
    # One rater at a time: three statements each, and the memory of one rater's cards.
    for rater in raters:
        _deal_to(session, study, rater, neuron_ids, texts)


def _deal_to(
    session: Session, study: Study, rater: Rater, neuron_ids: Sequence[int], texts: dict[int, list[str]]
) -> None:
    order = neuron_order(study.order_key, rater.number, len(neuron_ids))
    frames = [
        {"rater_id": rater.id, "neuron_id": neuron_ids[neuron], "position": position, "token": new_token()}
        for position, neuron in enumerate(order)
    ]
    assignment_ids = _stored(session, Assignment, frames)
    dealt = [
        (assignment_id, position, card)
        for assignment_id, neuron in zip(assignment_ids, order, strict=True)
        for position, card in enumerate(deal_cards(study.order_key, rater.number, neuron, texts[neuron_ids[neuron]]))
    ]
    card_ids = _stored(session, Card, [_card_row(*one) for one in dealt])
    condition_ids = [condition.id for condition in study.conditions]
    links = [
        {"card_id": card_id, "condition_id": condition_ids[member], "assignment_id": assignment_id}
        for card_id, (assignment_id, _, card) in zip(card_ids, dealt, strict=True)
        for member in card.members
    ]
    session.execute(sa.insert(CardCondition), links)


def new_token() -> str:
    """128 random bits, hexadecimal: all that a browser learns about a row."""
    return secrets.token_hex(TOKEN_BYTES)


def _card_row(assignment_id: int, position: int, card: DealtCard) -> Row:
    return {"assignment_id": assignment_id, "position": position, "token": new_token(), "text": card.text}


def _stored(session: Session, table: type[Assignment | Card], rows: list[Row]) -> Sequence[int]:
    """Stores the rows and returns their ids in the order of the rows."""
    return session.scalars(sa.insert(table).returning(table.id, sort_by_parameter_order=True), rows).all()


def _neuron_ids(session: Session, study: Study) -> Sequence[int]:
    query = sa.select(StudyNeuron.neuron_id).where(StudyNeuron.study_id == study.id)
    return session.scalars(query.order_by(StudyNeuron.position)).all()


def _texts(session: Session, study: Study, neuron_ids: Sequence[int]) -> dict[int, list[str]]:
    """The frozen texts of each neuron, by its id, in the order of the conditions."""
    query = sa.select(FrozenText.neuron_id, FrozenText.text).join(FrozenText.condition)
    mine = query.where(FrozenText.study_id == study.id).order_by(FrozenText.neuron_id, Condition.position)
    texts: dict[int, list[str]] = {neuron_id: [] for neuron_id in neuron_ids}
    for neuron_id, text in session.execute(mine):
        texts[neuron_id].append(text)
    return texts
