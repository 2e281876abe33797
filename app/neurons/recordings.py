"""A recording under way: which stretches of the corpus are recorded, which layers are stored, and how it ends.

A stretch (a chunk of the plan) counts as recorded when the parts of all layers are there; a layer is stored when all
stretches are recorded, and takes its parts with it. Knows the tables; not what is in a part, and never commits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.errors import Conflict, UnknownName
from app.neurons.models import Excerpt, Neuron, Recording, RecordingPart, SubjectModel
from app.neurons.storing import DONE, WRITING, remove_recorded, require_writing, status_query

FAILED = "failed"
CANCELLED = "cancelled"


@dataclass(frozen=True)
class NewPart:
    """What a stretch of excerpts added to one layer. seconds: of the pass over the stretch, all layers."""

    layer: int
    excerpts: range
    seconds: float
    content: bytes


def recording_named(session: Session, name: str) -> Recording:
    """The recording of a subject model. Errors: UnknownName when there is none of that name."""
    query = sa.select(Recording).join(SubjectModel).where(SubjectModel.name == name)
    recording = session.scalars(query).one_or_none()
    if recording is None:
        raise UnknownName(f"there is no recording {name}")
    return recording


def status_of(session: Session, recording: Recording) -> str | None:
    """As it is now; None when the recording was removed."""
    status: str | None = session.scalar(status_query(recording))
    return status


def token_ids_of(session: Session, corpus_id: int) -> npt.NDArray[np.int32]:
    """The excerpts of a corpus in their order, shape (excerpts, tokens)."""
    query = sa.select(Excerpt.token_ids).where(Excerpt.corpus_id == corpus_id).order_by(Excerpt.position)
    return np.stack([np.frombuffer(ids, dtype="<i4") for ids in session.scalars(query)]).astype(np.int32)


def missing_chunks(session: Session, recording: Recording, chunks: Sequence[range]) -> list[range]:
    """Those of the plan's chunks that are yet to be recorded, in their order."""
    # Layers are stored only when every chunk is there, and their parts are gone then.
    if _has_stored_layer(session, recording):
        return []
    n_layers = sa.select(SubjectModel.n_layers).where(SubjectModel.id == recording.subject_id).scalar_subquery()
    recorded = set(
        session.scalars(
            sa.select(RecordingPart.first_excerpt)
            .where(RecordingPart.recording_id == recording.id)
            .group_by(RecordingPart.first_excerpt)
            .having(sa.func.count() == n_layers)
        )
    )
    return [chunk for chunk in chunks if chunk.start not in recorded]


def stored_layers(session: Session, recording: Recording) -> set[int]:
    """Layers whose neurons are stored."""
    first_neurons = sa.select(Neuron.layer).where(Neuron.subject_id == recording.subject_id, Neuron.index == 0)
    return set(session.scalars(first_neurons))


def _has_stored_layer(session: Session, recording: Recording) -> bool:
    return session.scalar(sa.select(sa.exists().where(Neuron.subject_id == recording.subject_id))) or False


def store_part(session: Session, recording: Recording, part: NewPart) -> None:
    """Stores a part unless it is there: of the same stretch, all parts are the same.

    Errors: Conflict when the recording has ended, or another process has replaced it.
    """
    require_writing(session, recording)
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {
        "recording_id": recording.id,
        "first_excerpt": part.excerpts.start,
        "layer": part.layer,
        "n_excerpts": len(part.excerpts),
        "seconds": part.seconds,
        "content": part.content,
    }
    session.execute(dialect.insert(RecordingPart).values(row).on_conflict_do_nothing())


def parts_of_layer(session: Session, recording: Recording, layer: int) -> Sequence[bytes]:
    """The parts of a layer in the order of the corpus; none once the layer is stored."""
    return session.scalars(
        sa.select(RecordingPart.content)
        .where(RecordingPart.recording_id == recording.id, RecordingPart.layer == layer)
        .order_by(RecordingPart.first_excerpt)
    ).all()


def add_up_seconds(session: Session, recording: Recording) -> None:
    """Notes how long the pass took over all stretches, before the first layer takes its parts with it."""
    if _has_stored_layer(session, recording):
        return
    seconds = sa.select(sa.func.sum(RecordingPart.seconds)).where(
        RecordingPart.recording_id == recording.id, RecordingPart.layer == 0
    )
    session.execute(sa.update(Recording).where(Recording.id == recording.id).values(seconds=seconds.scalar_subquery()))


def add_devices(session: Session, recording_id: int, devices: Iterable[str]) -> None:
    """Notes in the provenance on which devices a recording was made; nothing when it is gone."""
    recording = session.get(Recording, recording_id, with_for_update=True)
    if recording is not None:
        known = {*recording.provenance.get("devices", []), *devices}
        recording.provenance = recording.provenance | {"devices": sorted(known)}


def reopen_recording(session: Session, recording: Recording) -> None:
    """Lets a failed or cancelled recording go on with what it has kept."""
    session.execute(
        sa.update(Recording)
        .where(Recording.id == recording.id, Recording.status.in_((FAILED, CANCELLED)))
        .values(status=WRITING, failure=None)
    )


def fail_recording(session: Session, recording_id: int, reason: str) -> None:
    """Ends a recording that cannot go on, for a reason said in one sentence; what it has kept stays."""
    session.execute(
        sa.update(Recording)
        .where(Recording.id == recording_id, Recording.status == WRITING)
        .values(status=FAILED, failure=reason)
    )


def cancel_recording(session: Session, name: str) -> Recording:
    """Ends an unfinished recording and removes what it has kept. Cancelling twice changes nothing.

    Errors: UnknownName when there is none of that name, Conflict when it is done.
    """
    recording = recording_named(session, name)
    ended = session.execute(
        sa.update(Recording)
        .where(Recording.id == recording.id, Recording.status != DONE)
        .values(status=CANCELLED, failure=None)
        .returning(Recording.id)
    )
    if ended.first() is None:
        raise Conflict(f"the recording {name} is done and cannot be cancelled")
    remove_recorded(session, recording)
    return recording
