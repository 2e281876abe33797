"""Records chunks of a recording for a worker's jobs: finds the model again, records, stores. Knows no job engine.

Everything here is safe to repeat: parts and layers that are stored are skipped.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput, NeuronJuryError
from app.neurons import recordings, storing
from app.neurons.models import Recording, SubjectModel
from app.settings import Settings
from worker.database_errors import is_passing
from worker.recording import disk
from worker.recording.beginning import StoredRecording, device_names, loaded_model, stored_plan
from worker.recording.chunk_recorder import ChunkRecorder
from worker.recording.one_pass import StatusWatch, store_parts, store_recorded
from worker.recording.plan import RecordingPlan
from worker.subjects.model_files import find_model, transformers_folder

log = logging.getLogger(__name__)


class WorkerStops(Exception):
    """This process is asked to end; the chunk under way is left to the next worker."""


@dataclass(frozen=True)
class _Loaded:
    """The recording that a worker has its model loaded for."""

    stored: StoredRecording
    plan: RecordingPlan
    recorder: ChunkRecorder


class RecordingShards:
    """The recording that one worker process takes part in. stop: set when the process is asked to end.

    A recording is named by its id and by when it was begun (ISO 8601): the id alone may be another one's by now. Errors
    that may pass (see is_passing) are left to the caller, who can call again.
    """

    def __init__(self, settings: Settings, database: Database, stop: threading.Event):
        self._settings = settings
        self._database = database
        self._stop = stop
        self._loaded: _Loaded | None = None
        # A job that was taken from this worker may still be in its last batch when the next one begins.
        self._turn = threading.Lock()

    def record_chunk(self, recording_id: int, begun_at: str, chunk_index: int) -> bool:
        """Records a chunk unless it is recorded already; False when the recording has ended.

        What a user can mend fails the recording, with its reason. Errors: WorkerStops.
        """
        return self._unless_ended(recording_id, begun_at, lambda stored: self._record_chunk(stored, chunk_index))

    def is_recorded(self, recording_id: int, begun_at: str) -> bool:
        """Whether every chunk of a recording under way is there, so that it can be finished."""
        stored = self._stored(recording_id, begun_at)
        if stored is None:
            return False
        with self._database.reading() as session:
            plan = stored_plan(session, stored.recording)
            return not recordings.missing_chunks(session, stored.recording, plan.chunks)

    def finish(self, recording_id: int, begun_at: str) -> None:
        """Makes neurons of the parts and finishes the recording; nothing when it has ended. Errors: WorkerStops."""
        self._unless_ended(recording_id, begun_at, self._finish)

    def fail(self, recording_id: int, begun_at: str, reason: str) -> None:
        """Ends a recording under way that cannot go on, for a reason said in one sentence."""
        stored = self._stored(recording_id, begun_at)
        if stored is not None:
            self._fail(stored.recording, reason)

    def _unless_ended(self, recording_id: int, begun_at: str, work: Callable[[StoredRecording], None]) -> bool:
        with self._turn:
            stored = self._stored(recording_id, begun_at)
            if stored is None or stored.recording.status != storing.WRITING:
                self._loaded = None
                return False
            try:
                work(stored)
            except WorkerStops:
                raise
            except Exception as error:
                if is_passing(error):
                    raise
                self._loaded = None
                # A cancelled recording is no failure: failing it changes nothing.
                self._fail(stored.recording, _reason(error))
                if not isinstance(error, NeuronJuryError | sa.exc.OperationalError):
                    # The engine keeps the traceback of what is our own fault.
                    raise
                return False
        return True

    def _record_chunk(self, stored: StoredRecording, chunk_index: int) -> None:
        with self._database.reading() as session:
            chunks = stored_plan(session, stored.recording).chunks
            missing = recordings.missing_chunks(session, stored.recording, chunks)
        if chunk_index >= len(chunks) or chunks[chunk_index] not in missing:
            return
        loaded = self._load(stored)
        watch = StatusWatch(self._database, loaded.stored.recording)
        started = time.perf_counter()
        parts = loaded.recorder.record(chunks[chunk_index], lambda _n_seen: self._look(watch))
        store_parts(self._database, loaded.stored.recording, chunks[chunk_index], parts, time.perf_counter() - started)

    def _finish(self, stored: StoredRecording) -> None:
        self._loaded = None
        with self._database.reading() as session:
            plan = stored_plan(session, stored.recording)
            if recordings.missing_chunks(session, stored.recording, plan.chunks):
                # A part has gone since the job was made; the shards of the next submission will end the recording.
                return
        store_recorded(self._database, stored, plan, lambda _stage, _done, _total: self._raise_if_stopping())

    def _load(self, stored: StoredRecording) -> _Loaded:
        recording = stored.recording
        if self._loaded is not None and self._loaded.stored.recording.created_at == recording.created_at:
            return self._loaded
        # Before the next model is loaded: two at once may not fit into memory.
        self._loaded = None
        files = find_model(recording.provenance["source"])
        if files.revision != recording.settings["model"]:
            raise InvalidInput(
                f"the model {recording.provenance['model']} is another one on this worker: {files.revision[:20]}, "
                f"expected {recording.settings['model'][:20]}"
            )
        folder = transformers_folder(files, self._settings.models_folder)
        model = loaded_model(
            folder, recording.settings["mlp_module"], recording.settings["dtype"], self._settings.threads
        )
        with self._database.writing() as session:
            recordings.add_devices(session, recording, device_names(model))
        with self._database.reading() as session:
            plan = stored_plan(session, recording)
            token_ids = recordings.token_ids_of(session, recording.corpus_id)
        recorder = ChunkRecorder(model, plan, token_ids, recording.provenance["batch_size"])
        self._loaded = _Loaded(stored, plan, recorder)
        return self._loaded

    def _look(self, watch: StatusWatch) -> None:
        self._raise_if_stopping()
        watch()

    def _raise_if_stopping(self) -> None:
        if self._stop.is_set():
            raise WorkerStops

    def _stored(self, recording_id: int, begun_at: str) -> StoredRecording | None:
        with self._database.reading() as session:
            recording = session.get(Recording, recording_id)
            if recording is None or recording.created_at.isoformat() != begun_at:
                return None
            return StoredRecording(recording, session.get_one(SubjectModel, recording.subject_id))

    def _fail(self, recording: Recording, reason: str) -> None:
        log.warning("a recording failed: %s", reason)
        with self._database.writing() as session:
            recordings.fail_recording(session, recording, reason)


def _reason(error: Exception) -> str:
    if isinstance(error, NeuronJuryError):
        return str(error)
    if isinstance(error, sa.exc.OperationalError):
        return f"{disk.full_reason(error)}; record it again once there is room"
    return f"the worker stopped at a fault of its own: {type(error).__name__}"
