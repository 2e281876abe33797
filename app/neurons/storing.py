"""Writes a recording into the tables: subject, corpus and excerpts once, then one layer of neurons after the other.

Knows how to write 1.4 million rows fast on both databases; not where their numbers come from, and never commits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.neurons.models import MLP, ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.records import RANDOM, TOP, Float16Array

WRITING = "writing"
DONE = "done"

Float64Array = npt.NDArray[np.float64]
ActivationTuple = tuple[int, str, int, int, float, bytes]
"""Neuron id, band, rank, excerpt id, maximum, activations: a row of ActivationRow."""


@dataclass(frozen=True)
class Band:
    """One kind of records for all neurons of a layer, in rank order.

    excerpts: position of each record's excerpt in the corpus, shape (neurons, records).
    activations: float16, shape (neurons, records, tokens).
    """

    excerpts: npt.NDArray[np.int64]
    activations: Float16Array


@dataclass(frozen=True)
class LayerRecording:
    """Everything recorded of one layer; arrays of shape (neurons,), see the columns of Neuron for what they mean.

    skewness, kurtosis: NaN where a neuron does not vary.
    """

    layer: int
    maximum: Float64Array
    mean: Float64Array
    variance: Float64Array
    skewness: Float64Array
    kurtosis: Float64Array
    share_active: Float64Array
    q90: Float64Array
    top: Band
    random: Band


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
    """Stores a layer's neurons and their records. Errors: Conflict when another process has removed the recording."""
    _require_unfinished(session, recording)
    excerpts = sa.select(Excerpt.id).where(Excerpt.corpus_id == recording.corpus_id).order_by(Excerpt.position)
    excerpt_ids = np.array(session.scalars(excerpts).all())
    session.execute(sa.insert(Neuron), _neuron_rows(recording.subject_id, recorded))
    neurons = (
        sa.select(Neuron.id)
        .where(Neuron.subject_id == recording.subject_id, Neuron.site == MLP, Neuron.layer == recorded.layer)
        .order_by(Neuron.index)
    )
    neuron_ids = session.scalars(neurons).all()
    _insert_activations(session.connection(), _activation_rows(neuron_ids, excerpt_ids, recorded))


def finish_recording(session: Session, recording: Recording) -> None:
    """Lets readers see the recording. Errors: Conflict when another process has removed it."""
    _require_unfinished(session, recording)
    session.execute(sa.update(Recording).where(Recording.id == recording.id).values(status=DONE))


def remove_unfinished(session: Session, recording: Recording) -> None:
    """Removes an unfinished recording, its subject model and what is stored of the neurons; nothing if it is gone.

    Its corpus stays: that is whole, and the next recording of the same text finds it.
    """
    if session.scalar(_unfinished(recording)) is None:
        return
    neurons = sa.select(Neuron.id).where(Neuron.subject_id == recording.subject_id)
    session.execute(sa.delete(ActivationRow).where(ActivationRow.neuron_id.in_(neurons)))
    session.execute(sa.delete(Neuron).where(Neuron.subject_id == recording.subject_id))
    session.execute(sa.delete(Recording).where(Recording.id == recording.id))
    session.execute(sa.delete(SubjectModel).where(SubjectModel.id == recording.subject_id))


def _require_unfinished(session: Session, recording: Recording) -> None:
    if session.scalar(_unfinished(recording)) is None:
        raise Conflict("another process has recorded under the same name in the meantime")


def _unfinished(recording: Recording) -> sa.Select[Any]:
    # SQLite gives the id of a removed row to the next one, so the id alone may name somebody else's recording.
    return sa.select(Recording.id).where(
        Recording.id == recording.id, Recording.created_at == recording.created_at, Recording.status == WRITING
    )


def _neuron_rows(subject_id: int, recorded: LayerRecording) -> list[dict[str, Any]]:
    columns = {
        "maximum": recorded.maximum.tolist(),
        "mean": recorded.mean.tolist(),
        "variance": recorded.variance.tolist(),
        "skewness": _nulls_for_nan(recorded.skewness),
        "kurtosis": _nulls_for_nan(recorded.kurtosis),
        "share_active": recorded.share_active.tolist(),
        "q90": recorded.q90.tolist(),
    }
    place = {"subject_id": subject_id, "site": MLP, "layer": recorded.layer}
    return [
        place | {"index": index} | dict(zip(columns, values, strict=True))
        for index, values in enumerate(zip(*columns.values(), strict=True))
    ]


def _nulls_for_nan(values: Float64Array) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def _activation_rows(
    neuron_ids: Sequence[int], excerpt_ids: npt.NDArray[np.int64], recorded: LayerRecording
) -> Iterator[ActivationTuple]:
    # In the order of the primary key (neuron, band, rank), so that SQLite appends to its tree instead of splitting it.
    bands = [
        (
            name,
            excerpt_ids[band.excerpts].tolist(),
            band.activations.max(axis=2).tolist(),
            band.activations.astype("<f2"),
        )
        for name, band in sorted({RANDOM: recorded.random, TOP: recorded.top}.items())
    ]
    for index, neuron_id in enumerate(neuron_ids):
        for name, excerpts, maxima, activations in bands:
            for rank, excerpt_id in enumerate(excerpts[index]):
                yield neuron_id, name, rank, excerpt_id, maxima[index][rank], activations[index, rank].tobytes()


def _insert_activations(connection: sa.Connection, rows: Iterable[ActivationTuple]) -> None:
    """Each database's own fast way: with thirty rows per neuron, generic inserts take several times as long."""
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
