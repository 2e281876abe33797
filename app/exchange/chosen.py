"""Which neurons an export writes: all of a subject model, one layer, or those of a CSV."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.exchange.neurons import Place
from app.neurons.lists import ListedNeurons, listed_neurons
from app.neurons.models import MLP, Neuron
from app.neurons.reading import subject_named


def chosen_places(
    session: Session, subject_name: str, *, layer: int | None, listed: ListedNeurons | None
) -> list[Place] | None:
    """Layer and index of each chosen neuron; None for all. layer, listed: at most one of them.

    Errors: UnknownName without the subject; InvalidInput for both, for an empty layer and for a list that names what is
    not here.
    """
    if layer is not None and listed is not None:
        raise InvalidInput("--layer and --neurons are both given; expected one of them")
    subject = subject_named(session, subject_name)
    if listed is not None:
        return [(neuron.layer, neuron.index) for neuron in listed_neurons(session, subject, listed)]
    if layer is None:
        return None
    here = (Neuron.subject_id == subject.id, Neuron.site == MLP, Neuron.layer == layer)
    indices = session.scalars(sa.select(Neuron.index).where(*here).order_by(Neuron.index)).all()
    if not indices:
        raise InvalidInput(f"{subject_name} has no neuron in layer {layer}")
    return [(layer, index) for index in indices]
