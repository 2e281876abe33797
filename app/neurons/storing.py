"""Writes a recording into the tables: subject, corpus and excerpts once, then one layer of neurons after the other.

Knows how to write millions of rows fast on both databases; not where their numbers come from, and never commits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.neurons.models import MLP, ActivationRow, Corpus, Excerpt, Neuron, Recording, RecordingPart, SubjectModel
from app.neurons.records import Float16Array

WRITING = "writing"
DONE = "done"

Float64Array = npt.NDArray[np.float64]
ActivationTuple = tuple[int, str, int, int, float, bytes]
"""Neuron id, band, rank, excerpt id, maximum, activations: a row of ActivationRow."""


@dataclass(frozen=True)
class Band:
    """One kind of records for all neurons of a layer, in rank order.

    excerpts: position of each record's excerpt in the corpus, shape (neurons, records); -1 where a neuron has fewer.
    maxima: over the tokens that count, shape (neurons, records).
    activations: float16, shape (neurons, records, tokens).
    """

    excerpts: npt.NDArray[np.int64]
    maxima: Float64Array
    activations: Float16Array


@dataclass(frozen=True)
class LayerRecording:
    """Everything recorded of one layer.

    statistics: by the column of Neuron that says what they mean, each of shape (neurons,); NaN where a neuron has none.
    histogram: counts, shape (neurons, 64); None where none was taken. bands: by name, see app/neurons/records.py.
    """

    layer: int
    statistics: Mapping[str, Float64Array]
    histogram: npt.NDArray[np.int32] | None
    bands: Mapping[str, Band]


def store_corpus(
    session: Session, *, name: str, hash: str, token_ids: npt.NDArray[np.int32], token_texts: Mapping[int, str]
) -> Corpus:
    """The corpus of this hash, stored with its excerpts unless it is there already.

    token_ids: shape (excerpts, tokens). token_texts: the text of each token id in it.
    """
    stored = session.scalars(sa.select(Corpus).where(Corpus.hash == hash)).one_or_none()
    if stored is not None:
        return stored
    n_excerpts, length = token_ids.shape
    corpus = Corpus(name=name, hash=hash, excerpt_length=length, n_excerpts=n_excerpts)
    session.add(corpus)
    session.flush()
    rows = [
        {
            "corpus_id": corpus.id,
            "position": position,
            "token_ids": ids.astype("<i4").tobytes(),
            "token_texts": [token_texts[token] for token in ids.tolist()],
        }
        for position, ids in enumerate(token_ids)
    ]
    session.execute(sa.insert(Excerpt), rows)
    return corpus


def begin_recording(session: Session, subject: SubjectModel, recording: Recording, corpus: Corpus) -> None:
    """Stores a new subject model and its recording, which nobody sees before finish_recording."""
    session.add(subject)
    session.flush()
    recording.subject_id = subject.id
    recording.corpus_id = corpus.id
    recording.status = WRITING
    session.add(recording)
    session.flush()


def store_layer(session: Session, recording: Recording, recorded: LayerRecording) -> None:
    """Stores a layer's neurons and their records, and lets go of the parts they were made of. Storing it again changes
    nothing.

    Errors: Conflict when the recording has ended, or another process has replaced it.
    """
    require_writing(session, recording)
    of_layer = (
        sa.select(Neuron.id)
        .where(Neuron.subject_id == recording.subject_id, Neuron.site == MLP, Neuron.layer == recorded.layer)
        .order_by(Neuron.index)
    )
    if session.scalar(of_layer.limit(1)) is not None:
        return
    excerpts = sa.select(Excerpt.id).where(Excerpt.corpus_id == recording.corpus_id).order_by(Excerpt.position)
    excerpt_ids = np.array(session.scalars(excerpts).all())
    session.execute(sa.insert(Neuron), _neuron_rows(recording.subject_id, recorded))
    neuron_ids = session.scalars(of_layer).all()
    insert_activations(session.connection(), _activation_rows(neuron_ids, excerpt_ids, recorded))
    session.execute(
        sa.delete(RecordingPart).where(
            RecordingPart.recording_id == recording.id, RecordingPart.layer == recorded.layer
        )
    )


def stored_layers(session: Session, recording: Recording) -> set[int]:
    """Layers whose neurons are stored."""
    first_neurons = sa.select(Neuron.layer).where(
        Neuron.subject_id == recording.subject_id, Neuron.site == MLP, Neuron.index == 0
    )
    return set(session.scalars(first_neurons))


def finish_recording(session: Session, recording: Recording) -> None:
    """Lets readers see the recording.

    Errors: Conflict when it has ended, another process has replaced it, or a layer is missing.
    """
    require_writing(session, recording)
    n_layers = session.get_one(SubjectModel, recording.subject_id).n_layers
    n_stored = len(stored_layers(session, recording))
    if n_stored != n_layers:
        raise Conflict(f"{n_stored} of {n_layers} layers of this recording are stored; expected all of them")
    session.execute(sa.update(Recording).where(Recording.id == recording.id).values(status=DONE))


def remove_unfinished(session: Session, recording: Recording) -> None:
    """Removes an unfinished recording, its subject model and what is stored of the neurons; nothing if it is gone.

    Its corpus stays: that is whole, and the next recording of the same text finds it.
    """
    if session.scalar(status_query(recording).with_for_update()) in (None, DONE):
        return
    for layer in range(session.get_one(SubjectModel, recording.subject_id).n_layers):
        remove_layer(session, recording, layer)
    session.execute(sa.delete(Recording).where(Recording.id == recording.id))
    session.execute(sa.delete(SubjectModel).where(SubjectModel.id == recording.subject_id))


def remove_layer(session: Session, recording: Recording, layer: int) -> None:
    """Removes what an unfinished recording has kept of a layer, parts and neurons."""
    of_layer = (Neuron.subject_id == recording.subject_id, Neuron.site == MLP, Neuron.layer == layer)
    session.execute(
        sa.delete(RecordingPart).where(RecordingPart.recording_id == recording.id, RecordingPart.layer == layer)
    )
    neurons = sa.select(Neuron.id).where(*of_layer)
    session.execute(sa.delete(ActivationRow).where(ActivationRow.neuron_id.in_(neurons)))
    session.execute(sa.delete(Neuron).where(*of_layer))


def require_writing(session: Session, recording: Recording) -> None:
    """Holds the recording until the end of this transaction, so that no other process ends it meanwhile.

    Errors: Conflict when it has ended, or another process has replaced it.
    """
    status = session.scalar(status_query(recording).with_for_update())
    if status != WRITING:
        reason = f"this recording is {status}" if status else "another process has recorded under the same name"
        raise Conflict(f"{reason} in the meantime")


def status_query(recording: Recording) -> sa.Select[Any]:
    """Finds a recording's status; nothing when it was removed, even if another has its id now."""
    return sa.select(Recording.status).where(is_recording(recording))


def is_recording(recording: Recording) -> sa.ColumnElement[bool]:
    """Whether a row is this recording."""
    # SQLite gives the id of a removed row to the next one, so the id alone may name somebody else's recording.
    return sa.and_(Recording.id == recording.id, Recording.created_at == recording.created_at)


def _neuron_rows(subject_id: int, recorded: LayerRecording) -> list[dict[str, Any]]:
    columns: dict[str, list[Any]] = {
        name: _plain_values(values, Neuron.__table__.columns[name]) for name, values in recorded.statistics.items()
    }
    if recorded.histogram is not None:
        columns["histogram"] = [counts.tobytes() for counts in recorded.histogram.astype("<i4")]
    place = {"subject_id": subject_id, "site": MLP, "layer": recorded.layer}
    return [
        place | {"index": index} | dict(zip(columns, values, strict=True))
        for index, values in enumerate(zip(*columns.values(), strict=True))
    ]


def _plain_values(values: Float64Array, column: sa.ColumnElement[Any]) -> list[Any]:
    """As the database takes them: nulls for NaN, and whole numbers where the column has these."""
    is_whole = isinstance(column.type, sa.Integer)
    return [None if np.isnan(value) else int(value) if is_whole else value for value in values.tolist()]


def _activation_rows(
    neuron_ids: Sequence[int], excerpt_ids: npt.NDArray[np.int64], recorded: LayerRecording
) -> Iterator[ActivationTuple]:
    # In the order of the primary key (neuron, band, rank), so that SQLite appends to its tree instead of splitting it.
    bands = [
        (name, band.excerpts.tolist(), excerpt_ids[band.excerpts].tolist(), band.maxima.tolist(), band.activations)
        for name, band in sorted(recorded.bands.items())
    ]
    for index, neuron_id in enumerate(neuron_ids):
        for name, positions, excerpts, maxima, activations in bands:
            for rank, position in enumerate(positions[index]):
                if position >= 0:
                    stored = activations[index, rank].astype("<f2", copy=False).tobytes()
                    yield neuron_id, name, rank, excerpts[index][rank], maxima[index][rank], stored


def insert_activations(connection: sa.Connection, rows: Iterable[ActivationTuple]) -> None:
    """Each database's own fast way: with dozens of rows per neuron, generic inserts take several times as long."""
    columns = "neuron_id, band, rank, excerpt_id, maximum, activations"
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"INSERT INTO activation_record ({columns}) VALUES (?, ?, ?, ?, ?, ?)", list(rows))
        return
    copying = f"COPY activation_record ({columns}) FROM STDIN (FORMAT BINARY)"
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(copying) as copy:
        copy.set_types(["int4", "varchar", "int4", "int4", "float8", "bytea"])
        for row in rows:
            copy.write_row(row)
