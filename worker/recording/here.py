"""Records a subject model in this process: from the names a user gives to stored neurons.

A recording that was stopped or killed half-way keeps what it has recorded, which nobody sees; the same command goes on
from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, InvalidInput, Unavailable
from app.neurons import recordings, storing
from app.neurons.models import Recording
from app.settings import Settings
from worker.recording import disk
from worker.recording.beginning import LOADING, BegunRecording, Progress, StoredRecording, begin_recording
from worker.recording.one_pass import RECORDING, STORING, record_missing_chunks, store_recorded
from worker.recording.order import RecordingOrder
from worker.texts.corpus import EXCERPT_LENGTH

__all__ = ["LOADING", "RECORDING", "STORING", "RecordingStopped", "RecordingSummary", "record_subject"]


class RecordingStopped(KeyboardInterrupt):
    """Ctrl-C during a recording. next_excerpt: position of the first excerpt that is yet to be recorded."""

    def __init__(self, next_excerpt: int):
        super().__init__()
        self.next_excerpt = next_excerpt


@dataclass(frozen=True)
class RecordingSummary:
    """What is stored under a name now.

    n_available: excerpts that the text has to choose from. seconds: of the pass over the excerpts alone.
    n_invalid_bytes: of the text, which are no UTF-8.
    was_done: it was there already, with these settings, and nothing was written.
    """

    name: str
    corpus: str
    n_layers: int
    n_neurons: int
    n_excerpts: int
    n_available: int
    n_invalid_bytes: int
    n_tokens: int
    seconds: float
    was_done: bool


def record_subject(
    settings: Settings,
    database: Database,
    order: RecordingOrder,
    progress: Progress,
    *,
    free: disk.FreeBytes = disk.free_bytes,
) -> RecordingSummary:
    """Records a model over excerpts of a text and stores it, or goes on with that.

    Errors: InvalidInput, UnknownName, Unavailable for what cannot be read; Conflict when the name is taken by another
    recording: at most the excerpts are kept then. RecordingStopped for Ctrl-C, Unavailable when the disk is full: what
    was recorded is kept then.
    """
    begun = begin_recording(settings, database, order, progress, free)
    if isinstance(begun, StoredRecording):
        return _summary(begun, was_done=True)
    try:
        with _explaining_stops(database, begun):
            record_missing_chunks(database, begun, order.batch_size, progress)
            store_recorded(database, begun.stored, begun.plan, progress)
    except Conflict:
        if not _is_done(database, begun):
            raise
        # Another process has worked on the same recording and was first, with the same numbers.
    except InvalidInput:
        # Whatever the model does wrong, it will do again.
        with database.writing() as session:
            storing.remove_unfinished(session, begun.stored.recording)
        raise
    return _summary(_as_stored(database, begun.stored), was_done=False)


def next_excerpt(database: Database, begun: BegunRecording) -> int:
    """Position of the first excerpt that is yet to be recorded; the number of excerpts when all are."""
    with database.reading() as session:
        missing = recordings.missing_chunks(session, begun.stored.recording, begun.plan.chunks)
    return missing[0].start if missing else begun.plan.n_excerpts


@contextmanager
def _explaining_stops(database: Database, begun: BegunRecording) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise RecordingStopped(next_excerpt(database, begun)) from None
    except sa.exc.OperationalError as error:
        if not disk.is_full(error):
            raise
        excerpt = next_excerpt(database, begun)
        raise Unavailable(
            f"{disk.full_reason(error)}; the same command goes on from excerpt {excerpt} once there is room"
        ) from error


def _is_done(database: Database, begun: BegunRecording) -> bool:
    with database.reading() as session:
        return recordings.status_of(session, begun.stored.recording) == storing.DONE


def _as_stored(database: Database, stored: StoredRecording) -> StoredRecording:
    with database.reading() as session:
        return StoredRecording(session.get_one(Recording, stored.recording.id), stored.subject)


def _summary(stored: StoredRecording, *, was_done: bool) -> RecordingSummary:
    subject, recording = stored.subject, stored.recording
    return RecordingSummary(
        name=subject.name,
        corpus=recording.provenance["corpus"],
        n_layers=subject.n_layers,
        n_neurons=subject.n_layers * subject.n_neurons_per_layer,
        n_excerpts=recording.n_tokens // EXCERPT_LENGTH,
        n_available=recording.provenance["excerpts_available"],
        n_invalid_bytes=recording.provenance.get("n_invalid_bytes", 0),
        n_tokens=recording.n_tokens,
        seconds=recording.seconds,
        was_done=was_done,
    )
