"""The excerpts of one neuron as its page shows them: by band, as heatmaps of one side. Reads the records of that neuron
and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.contexts import BandShown, ExcerptShown
from app.neurons.heatmap import heatmap_spans
from app.neurons.models import ActivationRow, Excerpt
from app.neurons.reading import STORED_FLOAT
from app.neurons.records import BANDS, BOTTOM, RANDOM, ActivationRecord, Float16Array, Side

EVERY_RANK = range(2**31 - 1)


@dataclass(frozen=True)
class BandKept:
    """How many records of a band are kept, and the largest activation among them."""

    n_records: int
    maximum: float


@dataclass(frozen=True)
class BandWanted:
    """Which excerpts of a band to show, as heatmaps of which side."""

    band: str
    ranks: range
    side: Side


def bands_kept(session: Session, neuron_id: int) -> dict[str, BandKept]:
    """The bands of a neuron by name; a band without records is missing."""
    rows = session.execute(
        sa.select(ActivationRow.band, sa.func.count(), sa.func.max(ActivationRow.maximum))
        .where(ActivationRow.neuron_id == neuron_id)
        .group_by(ActivationRow.band)
    )
    return {band: BandKept(n_records, maximum) for band, n_records, maximum in rows}


def scale_maxima(session: Session, neuron_id: int, kept: Mapping[str, BandKept]) -> dict[Side, float]:
    """What the strongest colour stands for on each side: the largest activation among all kept records, and how far
    below 0 the smallest one is; 0 where none is kept."""
    largest = max((band.maximum for name, band in kept.items() if name != BOTTOM), default=0.0)
    return {"positive": largest, "negative": _depth(session, neuron_id) if BOTTOM in kept else 0.0}


def _depth(session: Session, neuron_id: int) -> float:
    """How far below 0 the most negative record goes, which is the first of its band."""
    first = (ActivationRow.neuron_id == neuron_id, ActivationRow.band == BOTTOM, ActivationRow.rank == 0)
    stored = session.scalar(sa.select(ActivationRow.activations).where(*first))
    return 0.0 if not stored else max(0.0, -_smallest(np.frombuffer(stored, STORED_FLOAT)))


def bands_shown(
    session: Session,
    neuron_id: int,
    wanted: Sequence[BandWanted],
    kept: Mapping[str, BandKept],
    scales: Mapping[Side, float],
    *,
    every_value: bool = False,
) -> tuple[BandShown, ...]:
    """These bands with their excerpts at these ranks as heatmaps, and how many come after them.

    kept: the neuron's bands. scales: see scale_maxima. every_value: every token gets its own value.
    """
    rows = _rows(session, neuron_id, wanted)
    return tuple(
        BandShown(
            one.band,
            one.side,
            scales[one.side],
            tuple(_excerpt(row, one.side, scales[one.side], every_value) for row in rows if row.band == one.band),
            n_more=max(0, (kept[one.band].n_records if one.band in kept else 0) - one.ranks.stop),
        )
        for one in wanted
    )


def _rows(session: Session, neuron_id: int, wanted: Sequence[BandWanted]) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    # One query for all bands: a neuron's records lie side by side, and each round trip costs as much as reading them.
    chosen = sa.or_(
        *(
            sa.and_(
                ActivationRow.band == one.band,
                ActivationRow.rank >= one.ranks.start,
                ActivationRow.rank < one.ranks.stop,
            )
            for one in wanted
        )
    )
    return session.execute(_records(neuron_id).where(chosen)).all()


def _records(neuron_id: int) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(
            ActivationRow.band,
            ActivationRow.rank,
            ActivationRow.maximum,
            Excerpt.token_texts,
            ActivationRow.activations,
        )
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(ActivationRow.neuron_id == neuron_id)
        .order_by(ActivationRow.band, ActivationRow.rank)
    )


def _excerpt(row: sa.Row[*tuple[Any, ...]], side: Side, scale: float, every_value: bool) -> ExcerptShown:
    record = _record(row)
    strongest = row.maximum if side == "positive" else _smallest(record.activations)
    spans = heatmap_spans(record, scale, merge_silent=not every_value, side=side)
    return ExcerptShown(row.rank, strongest, spans)


def _smallest(activations: Float16Array) -> float:
    """0 for an excerpt without tokens."""
    return float(activations.min()) if len(activations) else 0.0


def _record(row: sa.Row[*tuple[Any, ...]]) -> ActivationRecord:
    return ActivationRecord(tuple(row.token_texts), np.frombuffer(row.activations, STORED_FLOAT))


def records_by_band(session: Session, neuron_id: int) -> dict[str, tuple[ActivationRecord, ...]]:
    """Every kept record by its band, all bands there, in the order people look at them; activations as recorded."""
    rows = session.execute(_records(neuron_id)).all()
    return {band: tuple(_record(row) for row in rows if row.band == band) for band in BANDS}


def bands_of_side(kept: Mapping[str, BandKept], side: Side) -> list[tuple[str, Side]]:
    """The bands that a page of this side shows, in order, each with the side its heatmaps show.

    The negative side has only the excerpts that were looked for there and the random ones. Bands of which nothing is
    kept stay away, but the first and the random one, whose lack is worth a word.
    """
    if side == "negative":
        return [(BOTTOM, side), (RANDOM, side)]
    return [
        (band, "negative" if band == BOTTOM else "positive")
        for band in BANDS
        if band in kept or band in (BANDS[0], RANDOM)
    ]
