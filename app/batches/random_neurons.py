"""Draws neurons, equally many of each layer. Knows no score."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.neurons.models import MLP, Neuron, SubjectModel


def random_of_each_layer(
    session: Session, subject: SubjectModel, layers: Sequence[int] | None, per_layer: int, seed: int
) -> list[int]:
    """Ids of `per_layer` neurons of each of these layers (None: of every layer with neurons), layer by layer.

    Errors: InvalidInput for a layer with fewer neurons than asked.
    """
    here = sa.select(Neuron.layer, Neuron.id).where(Neuron.subject_id == subject.id, Neuron.site == MLP)
    if layers is not None:
        here = here.where(Neuron.layer.in_(layers))
    by_layer: defaultdict[int, list[int]] = defaultdict(list)
    for layer, neuron_id in session.execute(here.order_by(Neuron.layer, Neuron.index)):
        by_layer[layer].append(neuron_id)
    return drawn_of_each(by_layer, layers, per_layer, seed, f"neurons of {subject.name}")


def drawn_of_each(
    by_layer: Mapping[int, Sequence[int]], layers: Iterable[int] | None, per_layer: int, seed: int, what: str
) -> list[int]:
    """`per_layer` of each layer's neurons, drawn with the seed, in the order that they stand in.

    by_layer: ids in an order that does not change. what: names them in messages. Errors: InvalidInput.
    """
    drawn: list[int] = []
    for layer in checked_layers(by_layer, layers, per_layer, what):
        among = by_layer[layer]
        # The layer is part of the seed: otherwise layers of one size would all draw the same places.
        drawn += [
            among[place] for place in sorted(random.Random(f"{seed}:{layer}").sample(range(len(among)), per_layer))
        ]
    return drawn


def checked_layers(
    by_layer: Mapping[int, Sequence[int]], layers: Iterable[int] | None, per_layer: int, what: str
) -> list[int]:
    """The layers to take neurons from. Errors: InvalidInput for a number below 1 and for a layer with too few."""
    if per_layer < 1:
        raise InvalidInput(f"{per_layer} neurons per layer; expected at least 1")
    wanted = sorted(by_layer) if layers is None else list(layers)
    if not wanted:
        raise InvalidInput(f"there are no {what}")
    for layer in wanted:
        n_there = len(by_layer.get(layer, ()))
        if n_there < per_layer:
            raise InvalidInput(
                f"layer {layer} has {n_there} {what}, {per_layer} were asked for; name other layers or fewer"
            )
    return wanted
