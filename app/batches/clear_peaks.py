"""Neurons with a clear peak: which of each layer they are, of either side. Knows nothing of other choices."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.explanations.methods.splits import N_EXPLAIN_RECORDS, N_SPLITS, explain_ranks
from app.neurons.bare import has_activations
from app.neurons.models import MLP, ActivationRow, Neuron, SubjectModel
from app.neurons.reading import STORED_FLOAT, subject_named
from app.neurons.records import BOTTOM, TOP, Side

SHARE_OF_CLEAREST = 0.05
_RANKS_SHOWN = explain_ranks("every4th", N_EXPLAIN_RECORDS, N_SPLITS * N_EXPLAIN_RECORDS)
"""Of a neuron with all its records. Of shorter recordings what there is of these ranks is compared."""
_PEAK: dict[Side, str] = {"positive": "peak", "negative": "negative peak"}
_QUANTILE: dict[Side, str] = {"positive": "q90", "negative": "q90_negative"}


def neurons_with_a_clear_peak(
    session: Session,
    subject_name: str,
    layers: Iterable[int] | None,
    per_layer: int,
    seed: int,
    side: Side = "positive",
) -> list[int]:
    """Ids of `per_layer` neurons of each of these layers (None: of every layer with neurons), layer by layer.

    A neuron has a clear peak when even the weakest of the five excerpts that explaining shows stands far above what is
    usual for it: its peak is that excerpt's maximum divided by the 0.9 quantile of all excerpts' maxima. Of a layer's
    neurons the 5 % with the highest peaks are candidates (at least `per_layer`), and `per_layer` of them are drawn
    with the seed. The best ones alone would be the oddest: neurons that answer to one stray line of the text.
    side: `negative` measures the same with the sign of every activation turned.
    Errors: UnknownName for the subject; InvalidInput for a layer it does not have, or with fewer neurons than asked.
    """
    subject = subject_named(session, subject_name)
    if per_layer < 1:
        raise InvalidInput(f"per_layer={per_layer}; expected at least 1")
    if stored_layers(session, subject) and not has_activations(session, subject):
        raise InvalidInput(
            f"no activations of {subject_name!r} are here, so that none of its neurons has a clear peak; import them "
            "first"
        )
    chosen: list[int] = []
    for layer in stored_layers(session, subject) if layers is None else layers:
        ranked = _by_peak(session, subject, layer) if side == "positive" else _by_trough(session, subject, layer)
        if len(ranked) < per_layer:
            raise InvalidInput(
                f"layer {layer} of {subject_name!r} has {len(ranked)} neurons with a {_PEAK[side]}, {per_layer} were "
                f"asked for; a peak needs excerpts and {_QUANTILE[side]}, the 0.9 quantile of all excerpts, above 0"
            )
        candidates = ranked[: max(per_layer, round(SHARE_OF_CLEAREST * len(ranked)))]
        # The layer is part of the seed: otherwise every layer would draw the same places of its ranking.
        chosen += sorted(random.Random(f"{seed}:{layer}").sample(candidates, per_layer))
    return chosen


def stored_layers(session: Session, subject: SubjectModel) -> list[int]:
    """Layers that have neurons: an import may have brought some only."""
    here = (Neuron.subject_id == subject.id, Neuron.site == MLP)
    return list(session.scalars(sa.select(Neuron.layer).where(*here).distinct().order_by(Neuron.layer)))


def _by_peak(session: Session, subject: SubjectModel, layer: int) -> list[int]:
    """Ids of a layer's neurons, the clearest peak first; without those whose 0.9 quantile is unknown or not above 0,
    and those of which fewer excerpts are kept than of others: their weakest one is none."""
    weakest_shown = sa.func.min(ActivationRow.maximum)
    rows = session.execute(
        sa.select(Neuron.id, sa.func.count().label("n_shown"))
        .join(ActivationRow, ActivationRow.neuron_id == Neuron.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Neuron.layer == layer,
            Neuron.q90 > 0,
            ActivationRow.band == TOP,
            ActivationRow.rank.in_(_RANKS_SHOWN),
        )
        .group_by(Neuron.id, Neuron.q90)
        .order_by((weakest_shown / Neuron.q90).desc(), Neuron.id)
    ).all()
    n_of_most = max((row.n_shown for row in rows), default=0)
    return [row.id for row in rows if row.n_shown == n_of_most]


def _by_trough(session: Session, subject: SubjectModel, layer: int) -> list[int]:
    """As _by_peak, of the negative side. Rows keep the largest activation of an excerpt, not its smallest, so these are
    measured here."""
    rows = session.execute(
        sa.select(Neuron.id, Neuron.q90_negative, ActivationRow.activations)
        .join(ActivationRow, ActivationRow.neuron_id == Neuron.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Neuron.layer == layer,
            Neuron.q90_negative > 0,
            ActivationRow.band == BOTTOM,
            ActivationRow.rank.in_(_RANKS_SHOWN),
        )
    )
    depths: dict[int, list[float]] = defaultdict(list)
    for neuron_id, q90, stored in rows:
        depth = -float(np.frombuffer(stored, STORED_FLOAT).min(initial=0.0))
        # The condition above leaves no null; the type says only what the column may hold.
        depths[neuron_id].append(depth / (q90 or math.inf))
    n_of_most = max(map(len, depths.values()), default=0)
    peaks = {neuron_id: min(shown) for neuron_id, shown in depths.items() if len(shown) == n_of_most}
    return sorted(peaks, key=lambda neuron_id: (-peaks[neuron_id], neuron_id))
