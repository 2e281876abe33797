"""Neurons under a name: saved once, so that batches, tables and studies mean the same ones. Knows nothing of how they
were chosen but what it keeps for people to read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, UnknownName
from app.neurons.models import Neuron, NeuronSet, NeuronSetMember, SubjectModel
from app.neurons.reading import subject_named

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")


@dataclass(frozen=True)
class NeuronSetSummary:
    """A saved set. chosen: how its neurons were chosen, one sentence. n_neurons: how many are in it."""

    id: int
    name: str
    chosen: str
    n_neurons: int
    created_at: datetime


def checked_set_name(name: str) -> str:
    """The name without blanks around it. Errors: InvalidInput."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"neuron set {name!r}; expected up to 100 letters, digits, blanks, dots, _ and -")
    return name


def save_set(
    session: Session, subject: SubjectModel, name: str, neuron_ids: Sequence[int], chosen: Mapping[str, Any]
) -> NeuronSet:
    """Stores the neurons under a name; saved again with the same neurons, it changes nothing.

    chosen: how they were chosen; `in_words` is the sentence that people read. The caller holds the subject's lock.
    Errors: InvalidInput for the name; Conflict when it is a set of other neurons already.
    """
    name = checked_set_name(name)
    existing = _find(session, subject.id, name)
    if existing is not None:
        if set(_members(session, existing.id)) != set(neuron_ids):
            raise Conflict(f"there is a neuron set {name!r} of {subject.name} with other neurons; choose another name")
        return existing
    neuron_set = NeuronSet(subject_id=subject.id, name=name, chosen=dict(chosen))
    session.add(neuron_set)
    session.flush()
    members = [{"set_id": neuron_set.id, "neuron_id": neuron_id} for neuron_id in dict.fromkeys(neuron_ids)]
    if members:
        session.execute(sa.insert(NeuronSetMember), members)
    return neuron_set


def find_set(session: Session, subject: SubjectModel, name: str) -> NeuronSet:
    """Errors: UnknownName, with the names there are."""
    found = _find(session, subject.id, name.strip())
    if found is None:
        names = ", ".join(known.name for known in saved_sets(session, subject.id)) or "none yet"
        raise UnknownName(f"there is no neuron set {name.strip()!r} of {subject.name!r}; saved are: {names}")
    return found


def set_members(session: Session, subject_name: str, name: str) -> list[int]:
    """Ids of the neurons of a set, layer by layer. Errors: UnknownName, for the subject or the set."""
    return _members(session, find_set(session, subject_named(session, subject_name), name).id)


def saved_sets(session: Session, subject_id: int) -> tuple[NeuronSetSummary, ...]:
    """The sets of a subject model, by name."""
    rows = session.execute(
        sa.select(NeuronSet, sa.func.count(NeuronSetMember.neuron_id))
        .outerjoin(NeuronSetMember, NeuronSetMember.set_id == NeuronSet.id)
        .where(NeuronSet.subject_id == subject_id)
        .group_by(NeuronSet.id)
        .order_by(NeuronSet.name)
    ).all()
    return tuple(
        NeuronSetSummary(each.id, each.name, str(each.chosen.get("in_words", "")), n_neurons, each.created_at)
        for each, n_neurons in rows
    )


def _find(session: Session, subject_id: int, name: str) -> NeuronSet | None:
    return session.scalar(sa.select(NeuronSet).where(NeuronSet.subject_id == subject_id, NeuronSet.name == name))


def _members(session: Session, set_id: int) -> list[int]:
    return list(
        session.scalars(
            sa.select(NeuronSetMember.neuron_id)
            .join(Neuron, Neuron.id == NeuronSetMember.neuron_id)
            .where(NeuronSetMember.set_id == set_id)
            .order_by(Neuron.layer, Neuron.index)
        )
    )
