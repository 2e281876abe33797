"""What a rater has judged so far, for the way back to it before the answers stand."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.neurons.models import Neuron
from app.studies.dealing.slots import is_live
from app.studies.models import Assignment, Rater
from app.studies.protocol import Protocol


@dataclass(frozen=True)
class JudgedNeuron:
    """token: the assignment's. name: "7:12", or the place in the rater's order where neurons have no names.

    could_judge: False where the rater said that it cannot be judged.
    """

    token: str
    name: str
    could_judge: bool


def judged_neurons(session: Session, rater: Rater) -> tuple[JudgedNeuron, ...]:
    """This rater's judged neurons in the order they were dealt."""
    is_named = Protocol.model_validate(rater.study.protocol).names_neurons
    query = sa.select(Assignment).options(joinedload(Assignment.neuron)).order_by(Assignment.position)
    judged = session.scalars(query.where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_not(None)))
    return tuple(
        JudgedNeuron(one.token, neuron_name(one.neuron, number, is_named), one.cannot_judge is None)
        for number, one in enumerate(judged, start=1)
    )


def neuron_name(neuron: Neuron, number: int, is_named: bool) -> str:
    """What raters read after the word "neuron". number: place among the rater's, from 1, as its page counted it."""
    return f"{neuron.layer}:{neuron.index}" if is_named else str(number)


def n_given_away(session: Session, rater: Rater) -> int:
    """How many neurons of this rater went to others while the rater was away."""
    gone = sa.select(sa.func.count()).select_from(Assignment).where(Assignment.rater_id == rater.id, ~is_live())
    return session.scalar(gone) or 0
