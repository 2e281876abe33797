"""The pass over the corpus: records chunk after chunk and stores the parts of each, so that a stopped recording goes on
where it was; and the end of it, when every chunk is there: parts become neurons, layer by layer."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from app.database import Database
from app.errors import Conflict
from app.neurons import recordings, storing
from app.neurons.models import Recording
from worker.recording.beginning import BegunRecording, Progress, StoredRecording
from worker.recording.chunk_recorder import ChunkRecorder
from worker.recording.parts import merged_layer
from worker.recording.plan import RecordingPlan

RECORDING = "recording"
STORING = "storing"
N_BATCHES_BETWEEN_LOOKS = 4


class StatusWatch:
    """Called with every batch; looks now and then whether the recording still goes on.

    Errors: Conflict when it was cancelled, or ended otherwise.
    """

    def __init__(self, database: Database, recording: Recording):
        self._database = database
        self._recording = recording
        self._n_calls = 0

    def __call__(self) -> None:
        self._n_calls += 1
        if self._n_calls % N_BATCHES_BETWEEN_LOOKS == 1:
            with self._database.reading() as session:
                status = recordings.status_of(session, self._recording)
            if status != storing.WRITING:
                raise Conflict(f"this recording is {status or 'removed'} in the meantime")


def record_missing_chunks(database: Database, begun: BegunRecording, batch_size: int, progress: Progress) -> None:
    """Records what is missing. While a chunk is stored in a thread of its own, the next one is recorded already.

    Errors: those of recording and of storing; what was stored before stays, and so does a chunk that is being stored.
    """
    recording, plan = begun.stored.recording, begun.plan
    with database.reading() as session:
        missing = recordings.missing_chunks(session, recording, plan.chunks)
        token_ids = recordings.token_ids_of(session, recording.corpus_id)
    n_seen = plan.n_excerpts - sum(len(chunk) for chunk in missing)
    progress(RECORDING, n_seen * plan.n_tokens, plan.n_excerpts * plan.n_tokens)
    recorder = ChunkRecorder(begun.model, plan, token_ids, batch_size)
    watch = StatusWatch(database, recording)
    with ThreadPoolExecutor(max_workers=1) as storing_thread:
        storing_last: Future[None] | None = None
        for chunk in missing:
            started = time.perf_counter()
            shown = _shown(progress, plan, n_seen, [watch, partial(_raise_if_failed, storing_last)])
            parts = recorder.record(chunk, shown)
            seconds = time.perf_counter() - started
            n_seen += len(chunk)
            # One chunk at most waits in memory, however slow the disk is.
            if storing_last is not None:
                storing_last.result()
            storing_last = storing_thread.submit(store_parts, database, recording, chunk, parts, seconds)
        if storing_last is not None:
            storing_last.result()


def store_parts(database: Database, recording: Recording, chunk: range, parts: Sequence[bytes], seconds: float) -> None:
    """One short transaction per layer, so that others can write in between. Storing them again changes nothing."""
    for layer, content in enumerate(parts):
        with database.writing() as session:
            recordings.store_part(session, recording, recordings.NewPart(layer, chunk, seconds, content))


def store_recorded(database: Database, stored: StoredRecording, plan: RecordingPlan, progress: Progress) -> None:
    """Makes neurons of the parts, one layer and transaction after the other, and finishes the recording. Goes on where
    it was stopped.

    Errors: Conflict when the recording has ended, or another process has replaced it.
    """
    recording, n_layers = stored.recording, stored.subject.n_layers
    with database.writing() as session:
        storing.require_writing(session, recording)
        recordings.add_up_seconds(session, recording)
        already = storing.stored_layers(session, recording)
    for layer in range(n_layers):
        progress(STORING, layer, n_layers)
        if layer not in already:
            _store_layer(database, recording, plan, layer)
    with database.writing() as session:
        storing.finish_recording(session, recording)
    progress(STORING, n_layers, n_layers)


def _store_layer(database: Database, recording: Recording, plan: RecordingPlan, layer: int) -> None:
    with database.reading() as session:
        parts = recordings.parts_of_layer(session, recording, layer, plan.n_excerpts)
    # Without parts it is another process that has stored the layer since, or removed everything; which one, the end of
    # the recording will say.
    if parts:
        merged = merged_layer(plan, layer, parts)
        with database.writing() as session:
            storing.store_layer(session, recording, merged)


def _shown(
    progress: Progress, plan: RecordingPlan, n_before: int, checks: Sequence[Callable[[], None]]
) -> Callable[[int], None]:
    def shown(n_seen: int) -> None:
        for check in checks:
            check()
        progress(RECORDING, (n_before + n_seen) * plan.n_tokens, plan.n_excerpts * plan.n_tokens)

    return shown


def _raise_if_failed(storing_last: Future[None] | None) -> None:
    if storing_last is not None and storing_last.done():
        storing_last.result()
