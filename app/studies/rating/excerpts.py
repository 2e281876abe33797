"""The excerpts beside the cards of one assignment: those that its evidence names, whatever came in since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import ActivationRow, Excerpt
from app.neurons.reading import STORED_FLOAT
from app.neurons.records import ActivationRecord


@dataclass(frozen=True)
class Band:
    """The excerpts shown out of one band. name: `top`, `random`, ... records: in the order of the evidence."""

    name: str
    records: tuple[ActivationRecord, ...]


def shown_bands(session: Session, neuron_id: int, evidence: Mapping[str, Sequence[int]]) -> tuple[Band, ...]:
    """The bands of the evidence, in its order. evidence: {band: [ranks, from 0]}, as stored with the assignment."""
    wanted = [
        sa.and_(ActivationRow.band == band, ActivationRow.rank.in_(ranks)) for band, ranks in evidence.items() if ranks
    ]
    if not wanted:
        return ()
    query = sa.select(ActivationRow.band, ActivationRow.rank, Excerpt.token_texts, ActivationRow.activations)
    mine = query.join(Excerpt, Excerpt.id == ActivationRow.excerpt_id).where(ActivationRow.neuron_id == neuron_id)
    records = {
        # frombuffer gives a view of the row's bytes, which is read-only: records are immutable everywhere.
        (band, rank): ActivationRecord(tuple(texts), np.frombuffer(stored, STORED_FLOAT))
        for band, rank, texts, stored in session.execute(mine.where(sa.or_(*wanted)))
    }
    bands = (
        Band(band, tuple(records[band, rank] for rank in ranks if (band, rank) in records))
        for band, ranks in evidence.items()
    )
    return tuple(band for band in bands if band.records)
