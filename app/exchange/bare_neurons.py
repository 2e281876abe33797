"""Makes neurons without activations, for texts about neurons that are not here, and fills them once their activations
come."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.bare import BARE_MAXIMUM, bare_among
from app.neurons.models import MLP, Neuron, SubjectModel

Place = tuple[int, int]
"""Layer and index."""


def neuron_ids(session: Session, subject_id: int, places: Collection[Place]) -> dict[Place, int]:
    """The ids of the subject's neurons at these places (of one batch: both databases limit the parameters); places
    without a neuron are missing."""
    rows = session.execute(
        sa.select(Neuron.layer, Neuron.index, Neuron.id).where(
            Neuron.subject_id == subject_id, Neuron.site == MLP, sa.tuple_(Neuron.layer, Neuron.index).in_(places)
        )
    )
    return {(layer, index): neuron_id for layer, index, neuron_id in rows}


def make_bare(session: Session, subject: SubjectModel, places: Collection[Place]) -> dict[Place, int]:
    """Neurons without activations at these places, where none is yet; returns their ids. The caller holds the subject's
    lock."""
    if not places:
        return {}
    here = {"subject_id": subject.id, "site": MLP, "maximum": BARE_MAXIMUM}
    rows = [here | {"layer": layer, "index": index} for layer, index in sorted(places)]
    session.execute(sa.insert(Neuron.__table__), rows)  # type: ignore[arg-type]
    return neuron_ids(session, subject.id, places)


def fill_bare(session: Session, rows: Sequence[dict[str, Any]], ids: dict[Place, int]) -> None:
    """Gives bare neurons their statistics. rows: as for new neurons. ids: where they are already."""
    if rows:
        session.execute(sa.update(Neuron), [row | {"id": ids[row["layer"], row["index"]]} for row in rows])


def bare_places(session: Session, ids: dict[Place, int]) -> set[Place]:
    """Those of these neurons that are here without activations."""
    bare = bare_among(session, list(ids.values()))
    return {place for place, neuron_id in ids.items() if neuron_id in bare}
