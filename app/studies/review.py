"""What a rater has judged so far, for the way back to it."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.models import Assignment


@dataclass(frozen=True)
class JudgedNeuron:
    """token: the assignment's. number: place in the rater's order, from 1. layer, index: the neuron's, from 0."""

    token: str
    number: int
    layer: int
    index: int


def judged_neurons(session: Session, rater_id: int) -> tuple[JudgedNeuron, ...]:
    """This rater's judged neurons in the order they were dealt."""
    rows = session.execute(
        sa.select(Assignment.token, Assignment.position, Neuron.layer, Neuron.index)
        .join(Neuron, Neuron.id == Assignment.neuron_id)
        .where(Assignment.rater_id == rater_id, Assignment.submitted_at.is_not(None))
        .order_by(Assignment.position)
    )
    return tuple(JudgedNeuron(token, position + 1, layer, index) for token, position, layer, index in rows)
