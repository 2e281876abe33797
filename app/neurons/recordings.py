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

from app.database import utc_now
from app.errors import Conflict, UnknownName
from app.neurons.models import Excerpt, Neuron, Recording, RecordingPart, SubjectModel
from app.neurons.storing import DONE, WRITING, is_recording, remove_layer, require_writing, status_query

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
    stretches = (
        sa.select(RecordingPart.first_excerpt, RecordingPart.n_excerpts)
        .where(RecordingPart.recording_id == recording.id)
        .group_by(RecordingPart.first_excerpt, RecordingPart.n_excerpts)
        .having(sa.func.count() == n_layers)
    )
    recorded = {(first, n_excerpts) for first, n_excerpts in session.execute(stretches)}
    return [chunk for chunk in chunks if (chunk.start, len(chunk)) not in recorded]


def _has_stored_layer(session: Session, recording: Recording) -> bool:
    return session.scalar(sa.select(sa.exists().where(Neuron.subject_id == recording.subject_id))) or False


def store_part(session: Session, recording: Recording, part: NewPart) -> None:
    """Stores a part unless one of the same stretch is there: whichever is kept, the parts join to the same recording.

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
    inserting = dialect.insert(RecordingPart).values(row)
    changes = {name: inserting.excluded[name] for name in ("n_excerpts", "seconds", "content")}
    session.execute(
        inserting.on_conflict_do_update(
            index_elements=["recording_id", "first_excerpt", "layer"],
            set_=changes,
            # A longer or shorter one is of another plan, and is of no use beside this one's.
            where=RecordingPart.n_excerpts != inserting.excluded.n_excerpts,
        )
    )


def parts_of_layer(session: Session, recording: Recording, layer: int, n_excerpts: int) -> list[bytes]:
    """The parts of a layer in the order of the corpus; none once the layer is stored. n_excerpts: of the corpus.

    Errors: Conflict when they do not make up the whole corpus.
    """
    rows = session.execute(
        sa.select(RecordingPart.n_excerpts, RecordingPart.content)
        .where(RecordingPart.recording_id == recording.id, RecordingPart.layer == layer)
        .order_by(RecordingPart.first_excerpt)
    ).all()
    n_recorded = sum(row.n_excerpts for row in rows)
    if rows and n_recorded != n_excerpts:
        raise Conflict(
            f"the parts of layer {layer} have {n_recorded} excerpts, expected {n_excerpts}; another process changes "
            "this recording, or it has to be cancelled and begun again"
        )
    return [row.content for row in rows]


def add_up_seconds(session: Session, recording: Recording) -> None:
    """Notes how long the pass took over all stretches, before the first layer takes its parts with it."""
    if _has_stored_layer(session, recording):
        return
    seconds = sa.select(sa.func.sum(RecordingPart.seconds)).where(
        RecordingPart.recording_id == recording.id, RecordingPart.layer == 0
    )
    session.execute(sa.update(Recording).where(Recording.id == recording.id).values(seconds=seconds.scalar_subquery()))


def add_devices(session: Session, recording: Recording, devices: Iterable[str]) -> None:
    """Notes in the provenance on which devices a recording was made; nothing when it is gone."""
    stored = _held(session, recording)
    if stored is not None:
        known = {*stored.provenance.get("devices", []), *devices}
        stored.provenance = stored.provenance | {"devices": sorted(known)}


def reopen_recording(session: Session, recording: Recording) -> Recording:
    """Lets a failed or cancelled recording go on with what it has kept; returns it as it is stored now.

    Reopened, it counts as created now: processes that worked on it before take it for another one, and stop.
    Errors: Conflict when another process has replaced it.
    """
    stored = _held(session, recording)
    if stored is None:
        raise Conflict("another process has begun this recording anew in the meantime")
    if stored.status in (FAILED, CANCELLED):
        stored.status, stored.failure, stored.created_at = WRITING, None, utc_now()
        session.flush()
    return stored


def _held(session: Session, recording: Recording) -> Recording | None:
    """The recording's row, which nobody else changes until the end of this transaction; None when it is gone."""
    query = sa.select(Recording).where(is_recording(recording)).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def fail_recording(session: Session, recording: Recording, reason: str) -> None:
    """Ends a recording that cannot go on, for a reason said in one sentence; what it has kept stays."""
    session.execute(
        sa.update(Recording)
        .where(is_recording(recording), Recording.status == WRITING)
        .values(status=FAILED, failure=reason)
    )


def cancel_recording(session: Session, name: str) -> Recording:
    """Ends an unfinished recording. What it has kept is for remove_cancelled_layer. Cancelling twice changes nothing.

    Errors: UnknownName when there is none of that name, Conflict when it is done.
    """
    recording = recording_named(session, name)
    ended = session.execute(
        sa.update(Recording)
        .where(is_recording(recording), Recording.status != DONE)
        .values(status=CANCELLED, failure=None)
        .returning(Recording.id)
    )
    if ended.first() is None:
        raise Conflict(f"the recording {name} is done and cannot be cancelled")
    return recording


def remove_cancelled_layer(session: Session, recording: Recording, layer: int) -> None:
    """Removes what a cancelled recording has kept of a layer; nothing when it goes on, or another has its id."""
    stored = _held(session, recording)
    if stored is not None and stored.status == CANCELLED:
        remove_layer(session, recording, layer)
