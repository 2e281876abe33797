"""Neurons as the viewer's pages need them. Every query has a subject as its scope and reads whole recordings only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import UnknownName
from app.neurons.contexts import (
    BandShown,
    ExcerptShown,
    NeuronFigures,
    NeuronLine,
    NeuronPlace,
    SubjectSummary,
)
from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.models import MLP, ActivationRow, Excerpt, Neuron, SubjectModel
from app.neurons.reading import STORED_FLOAT, is_readable
from app.neurons.records import TOP, ActivationRecord

Spans = tuple[HeatmapSpan, ...]

TOKENS_AROUND_PEAK = 6
"""How many tokens before and after the peak the list shows."""


def recorded_subjects(session: Session) -> tuple[SubjectSummary, ...]:
    """Every subject model whose recording is whole, by name."""
    query = sa.select(SubjectModel).where(is_readable(SubjectModel.id)).order_by(SubjectModel.name)
    return tuple(summary_of(subject) for subject in session.scalars(query))


def summary_of(subject: SubjectModel) -> SubjectSummary:
    return SubjectSummary(subject.name, subject.n_layers, subject.n_neurons_per_layer)


def neurons_by_maximum(
    session: Session,
    subject_id: int,
    layer: int | None,
    n_lines: int,
    after: NeuronPlace | None = None,
    before: NeuronPlace | None = None,
) -> list[Neuron]:
    """Up to n_lines neurons of a subject, strongest first: the first ones, those after a neuron or those just before
    one.

    layer: None for all layers. Errors: UnknownName when `after` or `before` names no neuron of this subject.
    """
    query = sa.select(Neuron).where(Neuron.subject_id == subject_id, Neuron.site == MLP)
    if layer is not None:
        query = query.where(Neuron.layer == layer)
    if before is not None:
        at = _cursor(session, subject_id, before)
        # The outer bound alone lets the index find the place; the inner one orders neurons of the same maximum.
        stronger = sa.and_(Neuron.maximum >= at.maximum, sa.or_(Neuron.maximum > at.maximum, Neuron.id > at.id))
        backwards = query.where(stronger).order_by(Neuron.maximum, Neuron.id).limit(n_lines)
        return list(session.scalars(backwards))[::-1]
    if after is not None:
        at = _cursor(session, subject_id, after)
        weaker = sa.and_(Neuron.maximum <= at.maximum, sa.or_(Neuron.maximum < at.maximum, Neuron.id < at.id))
        query = query.where(weaker)
    return list(session.scalars(query.order_by(Neuron.maximum.desc(), Neuron.id.desc()).limit(n_lines)))


def _cursor(session: Session, subject_id: int, place: NeuronPlace) -> Neuron:
    neuron = session.scalars(
        sa.select(Neuron).where(
            Neuron.subject_id == subject_id,
            Neuron.site == MLP,
            Neuron.layer == place.layer,
            Neuron.index == place.index,
        )
    ).one_or_none()
    if neuron is None:
        raise UnknownName(f"there is no recorded neuron {place.layer}:{place.index}")
    return neuron


def lines_of(session: Session, neurons: Sequence[Neuron]) -> tuple[NeuronLine, ...]:
    """The neurons as lines of the list, in the order given."""
    peaks = _peaks(session, [neuron.id for neuron in neurons])
    return tuple(
        NeuronLine(
            NeuronPlace(neuron.layer, neuron.index),
            neuron.maximum,
            neuron.q90,
            neuron.mean,
            neuron.share_active,
            *peaks.get(neuron.id, ((), ())),
        )
        for neuron in neurons
    )


def _peaks(session: Session, neuron_ids: list[int]) -> dict[int, tuple[Spans, Spans]]:
    rows = session.execute(
        sa.select(ActivationRow.neuron_id, Excerpt.token_texts, ActivationRow.activations)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(ActivationRow.neuron_id.in_(neuron_ids), ActivationRow.band == TOP, ActivationRow.rank == 0)
    )
    return {neuron_id: _around_peak(texts, stored) for neuron_id, texts, stored in rows}


def _around_peak(texts: list[str], stored: bytes) -> tuple[Spans, Spans]:
    activations = np.frombuffer(stored, STORED_FLOAT)
    peak_index = int(np.argmax(activations))
    window = slice(max(0, peak_index - TOKENS_AROUND_PEAK), peak_index + TOKENS_AROUND_PEAK + 1)
    record = ActivationRecord(tuple(texts[window]), activations[window])
    spans = heatmap_spans(record, record.maximum)
    n_before = next((index for index, span in enumerate(spans) if span.is_peak), len(spans))
    return spans[:n_before], spans[n_before:]


def figures_of(neuron: Neuron) -> NeuronFigures:
    return NeuronFigures(
        maximum=neuron.maximum,
        q90=neuron.q90,
        mean=neuron.mean,
        standard_deviation=math.sqrt(max(0.0, neuron.variance)),
        share_active=neuron.share_active,
        skewness=neuron.skewness,
        kurtosis=neuron.kurtosis,
    )


@dataclass(frozen=True)
class BandKept:
    """How many records of a band are kept, and the largest activation among them."""

    n_records: int
    maximum: float


def bands_kept(session: Session, neuron_id: int) -> dict[str, BandKept]:
    """The bands of a neuron by name; a band without records is missing."""
    rows = session.execute(
        sa.select(ActivationRow.band, sa.func.count(), sa.func.max(ActivationRow.maximum))
        .where(ActivationRow.neuron_id == neuron_id)
        .group_by(ActivationRow.band)
    )
    return {band: BandKept(n_records, maximum) for band, n_records, maximum in rows}


def scale_maximum(kept: dict[str, BandKept]) -> float:
    """What the strongest colour stands for: the largest activation among all kept records; 0 where none is kept."""
    return max((band.maximum for band in kept.values()), default=0.0)


def band_shown(
    session: Session,
    neuron_id: int,
    kept: dict[str, BandKept],
    band: str,
    ranks: range,
    *,
    every_value: bool = False,
) -> BandShown:
    """The excerpts of a band at these ranks as heatmaps, and how many come after them.

    kept: the neuron's bands, which also give the scale. every_value: every token gets its own value.
    """
    scale = scale_maximum(kept)
    rows = session.execute(
        sa.select(ActivationRow.rank, ActivationRow.maximum, Excerpt.token_texts, ActivationRow.activations)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(
            ActivationRow.neuron_id == neuron_id,
            ActivationRow.band == band,
            ActivationRow.rank >= ranks.start,
            ActivationRow.rank < ranks.stop,
        )
        .order_by(ActivationRow.rank)
    )
    excerpts = tuple(
        ExcerptShown(
            rank,
            maximum,
            heatmap_spans(
                ActivationRecord(tuple(texts), np.frombuffer(stored, STORED_FLOAT)), scale, merge_silent=not every_value
            ),
        )
        for rank, maximum, texts, stored in rows
    )
    n_kept = kept[band].n_records if band in kept else 0
    return BandShown(band, excerpts, n_more=max(0, n_kept - ranks.stop))


def neighbours(subject: SubjectModel, place: NeuronPlace) -> tuple[NeuronPlace | None, NeuronPlace | None]:
    """The neuron before and the one after this one, layer by layer; None at the model's two ends. Assumes whole
    layers."""
    width = subject.n_neurons_per_layer
    flat = place.layer * width + place.index
    last = subject.n_layers * width - 1
    previous = NeuronPlace(*divmod(flat - 1, width)) if flat > 0 else None
    following = NeuronPlace(*divmod(flat + 1, width)) if flat < last else None
    return previous, following
