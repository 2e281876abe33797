"""Which neurons to explain: some of each layer that have a clear peak, or those that a CSV names."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.explanations.methods.splits import explain_ranks
from app.neurons.lists import ListedNeurons, listed_neurons
from app.neurons.models import MLP, ActivationRow, Neuron, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.records import TOP

SHARE_OF_CLEAREST = 0.05


@dataclass(frozen=True)
class ClearPeaks:
    """So many neurons with a clear peak of each of these layers; None: of every layer."""

    per_layer: int
    layers: Sequence[int] | None
    seed: int


NeuronChoice = ClearPeaks | ListedNeurons


def chosen_neurons(session: Session, subject_name: str, choice: NeuronChoice) -> list[int]:
    """Ids of the neurons. Errors: as neurons_with_a_clear_peak or listed_neurons."""
    if isinstance(choice, ClearPeaks):
        return neurons_with_a_clear_peak(session, subject_name, choice.layers, choice.per_layer, choice.seed)
    return [neuron.id for neuron in listed_neurons(session, subject_named(session, subject_name), choice)]


def neurons_with_a_clear_peak(
    session: Session, subject_name: str, layers: Iterable[int] | None, per_layer: int, seed: int
) -> list[int]:
    """Ids of `per_layer` neurons of each of these layers (None: of every layer), layer by layer.

    A neuron has a clear peak when even the weakest of the five excerpts that explaining shows stands far above what is
    usual for it: its peak is that excerpt's maximum divided by the 0.9 quantile of all excerpts' maxima. Of a layer's
    neurons the 5 % with the highest peaks are candidates (at least `per_layer`), and `per_layer` of them are drawn
    with the seed. The best ones alone would be the oddest: neurons that answer to one stray line of the text.
    Errors: UnknownName for the subject; InvalidInput for a layer it does not have, or with fewer neurons than asked.
    """
    subject = subject_named(session, subject_name)
    if per_layer < 1:
        raise InvalidInput(f"per_layer={per_layer}; expected at least 1")
    chosen: list[int] = []
    for layer in range(subject.n_layers) if layers is None else layers:
        ranked = _neurons_by_peak(session, subject, layer)
        if len(ranked) < per_layer:
            raise InvalidInput(
                f"layer {layer} of {subject_name!r} has {len(ranked)} neurons with a peak, {per_layer} were asked for"
            )
        candidates = ranked[: max(per_layer, round(SHARE_OF_CLEAREST * len(ranked)))]
        # The layer is part of the seed: otherwise every layer would draw the same places of its ranking.
        chosen += sorted(random.Random(f"{seed}:{layer}").sample(candidates, per_layer))
    return chosen


def _neurons_by_peak(session: Session, subject: SubjectModel, layer: int) -> list[int]:
    """Ids of a layer's neurons, the clearest peak first; without those whose 0.9 quantile is not above 0."""
    weakest_shown = sa.func.min(ActivationRow.maximum)
    rows = session.execute(
        sa.select(Neuron.id)
        .join(ActivationRow, ActivationRow.neuron_id == Neuron.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Neuron.layer == layer,
            Neuron.q90 > 0,
            ActivationRow.band == TOP,
            ActivationRow.rank.in_(explain_ranks("every4th")),
        )
        .group_by(Neuron.id, Neuron.q90)
        .order_by((weakest_shown / Neuron.q90).desc(), Neuron.id)
    )
    return [neuron_id for (neuron_id,) in rows]
