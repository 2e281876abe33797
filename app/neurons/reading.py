"""Reads one neuron back from the tables as plain values. Knows the tables of a recording; shows and judges nothing."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, contains_eager

from app.errors import UnknownName
from app.neurons.models import MLP, ActivationRow, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.records import BOTTOM, RANDOM, TOP, ActivationRecord, Float16Array, NeuronRecords, Side
from app.neurons.storing import DONE

STORED_FLOAT = np.dtype("<f2")
CUTOFF_QUANTILE = 0.9
_RECORDS = (
    sa.select(Excerpt.token_texts, ActivationRow.activations)
    .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
    .where(ActivationRow.neuron_id == sa.bindparam("neuron_id"), ActivationRow.band == sa.bindparam("band"))
    .order_by(ActivationRow.rank)
)
_SOME_RECORDS = _RECORDS.where(ActivationRow.rank.in_(sa.bindparam("ranks", expanding=True)))


def subject_named(session: Session, name: str) -> SubjectModel:
    """The subject model of that name, its recording whole. Errors: UnknownName, with the names there are."""
    readable = sa.select(SubjectModel).where(is_readable(SubjectModel.id))
    subject = session.scalar(readable.where(SubjectModel.name == name))
    if subject is None:
        names = ", ".join(known.name for known in session.scalars(readable.order_by(SubjectModel.name))) or "none yet"
        raise UnknownName(f"there is no recorded subject model {name!r}; recorded are: {names}")
    return subject


def neuron_at(session: Session, subject_name: str, layer: int, index: int) -> Neuron:
    """The MLP neuron at a place of a subject model, its `subject` loaded.

    layer, index: both start at 0. Errors: UnknownName when there is no such neuron, or when its recording is still
    being written.
    """
    neuron = session.scalars(
        sa.select(Neuron)
        .join(Neuron.subject)
        .options(contains_eager(Neuron.subject))
        .where(
            SubjectModel.name == subject_name,
            Neuron.site == MLP,
            Neuron.layer == layer,
            Neuron.index == index,
            is_readable(Neuron.subject_id),
        )
    ).one_or_none()
    if neuron is None:
        raise UnknownName(f"there is no recorded neuron {layer}:{index} of a subject model {subject_name!r}")
    return neuron


def is_readable(subject_id: sa.ColumnExpressionArgument[int]) -> sa.ColumnElement[bool]:
    """Condition: the subject's recording is whole. A subject without a recording was imported, and is whole too."""
    half_written = sa.exists().where(Recording.subject_id == subject_id, Recording.status != DONE)
    return ~half_written


def load_records(session: Session, neuron: Neuron, side: Side = "positive") -> NeuronRecords:
    """What a neuron responds to: its top records best first, its random ones in the order they were drawn.

    side: `negative` gives the other end of its range, with the sign of every activation turned, so that whatever reads
    records sees large positive values there too.
    """
    top = load_strongest(session, neuron.id, side)
    random = _records(session, neuron.id, RANDOM, side == "negative")
    cutoff = stored_cutoff(neuron, side)
    return NeuronRecords(
        subject=neuron.subject.name,
        layer=neuron.layer,
        index=neuron.index,
        top=top,
        random=random,
        cutoff=_estimated_cutoff(top, random) if cutoff is None else cutoff,
    )


def load_strongest(
    session: Session, neuron_id: int, side: Side = "positive", ranks: Sequence[int] | None = None
) -> tuple[ActivationRecord, ...]:
    """The strongest records of one side alone, best first, as load_records gives them. ranks: only these, from 0."""
    is_negative = side == "negative"
    return _records(session, neuron_id, BOTTOM if is_negative else TOP, is_negative, ranks)


def stored_cutoff(neuron: Neuron, side: Side) -> float | None:
    """None where an import brought no quantile; load_records estimates it then."""
    return neuron.q90_negative if side == "negative" else neuron.q90


def _estimated_cutoff(top: tuple[ActivationRecord, ...], random: tuple[ActivationRecord, ...]) -> float:
    """For a neuron imported without its quantiles: from its random records if it has any, else from its top ones."""
    maxima = [record.maximum for record in random or top]
    return float(np.quantile(maxima, CUTOFF_QUANTILE)) if maxima else 0.0


def _records(
    session: Session, neuron_id: int, band: str, is_negated: bool, ranks: Sequence[int] | None = None
) -> tuple[ActivationRecord, ...]:
    asked = {"neuron_id": neuron_id, "band": band}
    rows = (
        session.execute(_RECORDS, asked) if ranks is None else session.execute(_SOME_RECORDS, asked | {"ranks": ranks})
    )
    return tuple(ActivationRecord(tuple(texts), _activations(stored, is_negated)) for texts, stored in rows)


def _activations(stored: bytes, is_negated: bool) -> Float16Array:
    # frombuffer gives a view of the row's bytes, which is read-only: records are immutable everywhere.
    activations = np.frombuffer(stored, STORED_FLOAT)
    if is_negated:
        activations = -activations
        activations.flags.writeable = False
    return activations
