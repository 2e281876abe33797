"""Neurons as the viewer's pages need them. Every query has a subject as its scope and reads whole recordings only."""

import math
from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import UnknownName
from app.neurons.bare import bare_among, looks_bare
from app.neurons.contexts import NeuronFigures, NeuronLine, NeuronPlace, SubjectSummary
from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.histogram import HistogramShown, histogram_shown
from app.neurons.models import MLP, ActivationRow, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.reading import STORED_FLOAT, is_readable
from app.neurons.records import BOTH, QUANTILE_BANDS, TOP, ActivationRecord

Spans = tuple[HeatmapSpan, ...]

TOKENS_AROUND_PEAK = 6
"""How many tokens before and after the peak the list shows."""


def recorded_subjects(session: Session) -> tuple[SubjectSummary, ...]:
    """Every subject model whose recording is whole, by name."""
    query = sa.select(SubjectModel).where(is_readable(SubjectModel.id)).order_by(SubjectModel.name)
    return tuple(summary_of(session, subject) for subject in session.scalars(query).all())


def summary_of(session: Session, subject: SubjectModel) -> SubjectSummary:
    settings = session.scalar(sa.select(Recording.settings).where(Recording.subject_id == subject.id))
    n_neurons = subject.n_layers * subject.n_neurons_per_layer
    if settings is None:
        # A recording has every neuron of the model; an import may have brought some of them only.
        stored = sa.select(sa.func.count()).where(Neuron.subject_id == subject.id, Neuron.site == MLP)
        n_neurons = session.scalar(stored) or 0
    # Without statistics nothing but the top and random records is kept, whatever the polarity.
    chosen = settings or {}
    has_negative_side = chosen.get("polarity") == BOTH and chosen.get("statistics", True)
    return SubjectSummary(subject.name, subject.n_layers, n_neurons, has_negative_side)


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
    bare = bare_among(session, [neuron.id for neuron in neurons if looks_bare(neuron)])
    return tuple(
        NeuronLine(
            NeuronPlace(neuron.layer, neuron.index),
            None if neuron.id in bare else neuron.maximum,
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
    if not len(activations):
        return (), ()
    peak_index = int(np.argmax(activations))
    window = slice(max(0, peak_index - TOKENS_AROUND_PEAK), peak_index + TOKENS_AROUND_PEAK + 1)
    record = ActivationRecord(tuple(texts[window]), activations[window])
    spans = heatmap_spans(record, record.maximum)
    n_before = next((index for index, span in enumerate(spans) if span.is_peak), len(spans))
    return spans[:n_before], spans[n_before:]


def figures_of(neuron: Neuron, *, is_bare: bool = False) -> NeuronFigures:
    """is_bare: that no activations of it are here."""
    return NeuronFigures(
        maximum=None if is_bare else neuron.maximum,
        minimum=neuron.minimum,
        mean=neuron.mean,
        standard_deviation=None if neuron.variance is None else math.sqrt(max(0.0, neuron.variance)),
        share_active=neuron.share_active,
        skewness=neuron.skewness,
        kurtosis=neuron.kurtosis,
        q50=neuron.q50,
        q90=neuron.q90,
        q99=neuron.q99,
        q999=neuron.q999,
    )


def histogram_of(neuron: Neuron) -> HistogramShown | None:
    """None where none was taken."""
    if neuron.histogram is None or neuron.histogram_low is None or neuron.histogram_high is None:
        return None
    counts = np.frombuffer(neuron.histogram, "<i4")
    quantiles = {name: getattr(neuron, name) for name in QUANTILE_BANDS}
    return histogram_shown(counts, neuron.histogram_low, neuron.histogram_high, quantiles)


def neighbours(session: Session, neuron: Neuron) -> tuple[NeuronPlace | None, NeuronPlace | None]:
    """The stored neuron before and the one after this one, layer by layer; None at the two ends. An import may have
    left gaps."""
    place = sa.tuple_(Neuron.layer, Neuron.index)
    here = sa.tuple_(sa.literal(neuron.layer), sa.literal(neuron.index))
    nearest = sa.select(Neuron.layer, Neuron.index).where(Neuron.subject_id == neuron.subject_id, Neuron.site == MLP)
    before = nearest.where(place < here).order_by(Neuron.layer.desc(), Neuron.index.desc()).limit(1)
    after = nearest.where(place > here).order_by(Neuron.layer, Neuron.index).limit(1)
    previous, following = session.execute(before).first(), session.execute(after).first()
    return previous and NeuronPlace(*previous), following and NeuronPlace(*following)
