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
    """The recording that one worker process takes part in. stop: set when the process is asked to end."""

    def __init__(self, settings: Settings, database: Database, stop: threading.Event):
        self._settings = settings
        self._database = database
        self._stop = stop
        self._loaded: _Loaded | None = None
        # A job that was taken from this worker may still be in its last batch when the next one begins.
        self._turn = threading.Lock()

    def record_chunk(self, recording_id: int, chunk_index: int) -> bool:
        """Records a chunk unless it is recorded already; False when the recording has ended.

        What a user can mend fails the recording, with its reason. Errors: WorkerStops.
        """
        return self._unless_ended(recording_id, lambda stored: self._record_chunk(stored, chunk_index))

    def is_recorded(self, recording_id: int) -> bool:
        """Whether every chunk of a recording under way is there, so that it can be finished."""
        stored = self._stored(recording_id)
        if stored is None:
            return False
        with self._database.reading() as session:
            plan = stored_plan(session, stored.recording)
            return not recordings.missing_chunks(session, stored.recording, plan.chunks)

    def finish(self, recording_id: int) -> None:
        """Makes neurons of the parts and finishes the recording; nothing when it has ended. Errors: WorkerStops."""
        self._unless_ended(recording_id, self._finish)

    def _unless_ended(self, recording_id: int, work: Callable[[StoredRecording], None]) -> bool:
        with self._turn:
            stored = self._stored(recording_id)
            if stored is None or stored.recording.status != storing.WRITING:
                self._loaded = None
                return False
            try:
                work(stored)
            except NeuronJuryError as error:
                self._loaded = None
                # A cancelled recording is no failure: failing it changes nothing.
                self._fail(recording_id, str(error))
                return False
            except sa.exc.OperationalError as error:
                if not disk.is_full(error):
                    raise
                self._loaded = None
                reason = str(error.orig).strip().splitlines()[0]
                self._fail(recording_id, f"the disk is full: {reason}; record it again once there is room")
                return False
            except WorkerStops:
                raise
            except Exception as error:
                # The engine keeps the traceback; whoever waits for the recording sees that nobody works on it any more.
                self._fail(recording_id, f"the worker stopped at a fault of its own: {type(error).__name__}")
                raise
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
                # The job is of an earlier recording with this id; the shards of this one will end it.
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
            recordings.add_devices(session, recording.id, device_names(model))
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

    def _stored(self, recording_id: int) -> StoredRecording | None:
        with self._database.reading() as session:
            recording = session.get(Recording, recording_id)
            if recording is None:
                return None
            return StoredRecording(recording, session.get_one(SubjectModel, recording.subject_id))

    def _fail(self, recording_id: int, reason: str) -> None:
        log.warning("a recording failed: %s", reason)
        with self._database.writing() as session:
            recordings.fail_recording(session, recording_id, reason)
