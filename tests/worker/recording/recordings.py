"""What the tests of recordings share: a text, small orders, and all that is stored of a recording as plain rows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.database import Database
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, Recording, RecordingPart, SubjectModel
from tests.worker.conftest import SENTENCE
from worker.recording.order import RecordingOrder

N_EXCERPTS = 60
CHUNK_LENGTH = 8
N_CHUNKS = 8
"""Seven of 8 excerpts, and one of 4."""
TABLES = (SubjectModel, Recording, RecordingPart, Neuron, ActivationRow, Corpus, Excerpt)
NOTHING = dict.fromkeys((table.__tablename__ for table in TABLES), 0)

Progress = Callable[[str, int, int], None]


def write_text(path: Path, n_sentences: int = 200) -> str:
    path.write_text("".join(f"{number}: {SENTENCE}" for number in range(n_sentences)))
    return str(path)


def small_order(model: Path, text: str, /, **changes: Any) -> RecordingOrder:
    """60 excerpts in 8 chunks, or what the call changes of that."""
    order = RecordingOrder(str(model), text, "tiny", n_excerpts=N_EXCERPTS, batch_size=4, chunk_length=CHUNK_LENGTH)
    return replace(order, **changes)


def no_progress(stage: str, done: int, total: int) -> None:
    pass


def interrupted_at(stage: str, at: int, error: type[BaseException] = KeyboardInterrupt) -> Progress:
    """A progress that stops the recording the first time that it is so far."""

    def interrupt(seen: str, done: int, total: int) -> None:
        if seen == stage and done >= at:
            raise error

    return interrupt


def n_rows(database: Database) -> dict[str, int | None]:
    with database.reading() as session:
        return {table.__tablename__: session.scalar(sa.select(sa.func.count()).select_from(table)) for table in TABLES}


def stored_rows(database: Database, name: str = "tiny") -> list[tuple[Any, ...]]:
    """All that was recorded of a subject model's neurons, in one order, without the ids."""
    statistics = [column for column in Neuron.__table__.columns if column.name not in ("id", "subject_id")]
    neurons = (
        sa.select(*statistics)
        .join(SubjectModel, SubjectModel.id == Neuron.subject_id)
        .where(SubjectModel.name == name)
        .order_by(Neuron.layer, Neuron.index)
    )
    records = (
        sa.select(
            Neuron.layer,
            Neuron.index,
            ActivationRow.band,
            ActivationRow.rank,
            Excerpt.position,
            ActivationRow.maximum,
            ActivationRow.activations,
        )
        .join(Neuron, Neuron.id == ActivationRow.neuron_id)
        .join(SubjectModel, SubjectModel.id == Neuron.subject_id)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(SubjectModel.name == name)
        .order_by(Neuron.layer, Neuron.index, ActivationRow.band, ActivationRow.rank)
    )
    with database.reading() as session:
        return [tuple(row) for query in (neurons, records) for row in session.execute(query)]


def parts_by_chunk(database: Database) -> dict[int, int]:
    """First excerpt -> how many layers' parts are there."""
    query = sa.select(RecordingPart.first_excerpt, sa.func.count()).group_by(RecordingPart.first_excerpt)
    with database.reading() as session:
        return {row[0]: row[1] for row in session.execute(query)}
