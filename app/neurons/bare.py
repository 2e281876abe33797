"""Bare neurons: an import brought texts about them and no activations, which may still come. Tells them from neurons
whose largest activation is 0."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import ActivationRow, Neuron, SubjectModel

BARE_MAXIMUM = 0.0
"""The maximum of a bare neuron: its column takes no null. Pages never show it."""


def looks_bare(neuron: Neuron) -> bool:
    """Whether its row says nothing of its activations; then it is bare unless it has records."""
    return neuron.maximum == BARE_MAXIMUM and neuron.maximum_excerpt is None and neuron.mean is None


def is_bare(session: Session, neuron: Neuron) -> bool:
    return looks_bare(neuron) and bool(bare_among(session, [neuron.id]))


def bare_among(session: Session, neuron_ids: Sequence[int]) -> set[int]:
    """Those of these neurons that are bare. neuron_ids: no more than one statement can hold."""
    if not neuron_ids:
        return set()
    return set(session.scalars(sa.select(Neuron.id).where(Neuron.id.in_(neuron_ids), bare_condition())))


def has_activations(session: Session, subject: SubjectModel) -> bool:
    """Whether any neuron of the subject is not bare."""
    return bool(session.scalar(sa.select(sa.exists().where(Neuron.subject_id == subject.id, ~bare_condition()))))


def bare_condition() -> sa.ColumnElement[bool]:
    """Condition on Neuron: it is bare."""
    says_nothing = (Neuron.maximum == BARE_MAXIMUM, Neuron.maximum_excerpt.is_(None), Neuron.mean.is_(None))
    has_records = sa.exists().where(ActivationRow.neuron_id == Neuron.id)
    return sa.and_(*says_nothing, ~has_records)
