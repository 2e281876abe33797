"""The beginning of a recording: everything is checked, then the subject model, the corpus and the recording are stored
in one transaction, so that any worker finds what it needs in the database. Runs no pass.

What an earlier run of the same recording has kept is found again here; what one with other settings left is removed.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from sqlalchemy.orm import Session

from app import jobs
from app.database import Database
from app.errors import Conflict
from app.neurons import recordings, storing
from app.neurons.models import Corpus, Recording, SubjectModel
from app.settings import Settings
from worker.recording import disk
from worker.recording.ending import remove_cancelled
from worker.recording.order import (
    RecordingOrder,
    asked_settings,
    check_name,
    check_order,
    first_difference,
    plan_of,
    whole_settings,
)
from worker.recording.plan import RecordingPlan
from worker.subjects.model_files import BUNDLED, ModelFiles, find_model, slug_of, transformers_folder
from worker.subjects.subject import Subject, load_subject, load_tokenizer
from worker.texts import corpus
from worker.texts.corpus import EXCERPT_LENGTH, Excerpts, Text

PACKAGES = ("numba", "numpy", "tokenizers", "torch", "transformers")
LOADING = "loading"

Progress = Callable[[str, int, int], None]
"""(stage, done, total): LOADING without numbers, then RECORDING in tokens, then STORING in layers."""


@dataclass(frozen=True)
class StoredRecording:
    """A recording of the database, finished or not, with the subject model that it is of."""

    recording: Recording
    subject: SubjectModel

    @property
    def is_done(self) -> bool:
        return self.recording.status == storing.DONE


@dataclass(frozen=True)
class BegunRecording:
    """A recording that can go on."""

    stored: StoredRecording
    model: Subject
    plan: RecordingPlan


@dataclass(frozen=True)
class FoundOrder:
    """What an order names, all of it on this machine."""

    files: ModelFiles
    name: str
    text: Text
    settings: dict[str, Any]


def begin_recording(
    settings: Settings, database: Database, order: RecordingOrder, progress: Progress, free: disk.FreeBytes
) -> StoredRecording | BegunRecording:
    """Stores the recording that an order asks for, or finds it; a StoredRecording is done already.

    Errors: InvalidInput, UnknownName, Unavailable for what cannot be read, or has no room; Conflict when the name is
    taken by another recording. Nothing is stored then.
    """
    found = find_order(order)
    with database.reading() as session:
        before = stored_recording(session, found.name, found.settings)
    if before is not None and before.is_done:
        return before
    progress(LOADING, 0, 0)
    folder = transformers_folder(found.files, settings.models_folder)
    # The model first: it is sooner found out that the place of its neurons is not known than how long the text is.
    dtype = before.recording.settings["dtype"] if before else order.dtype
    model = loaded_model(folder, order.mlp_module, dtype, settings.threads)
    if before is not None:
        return _gone_on(database, before, model)
    return _stored(settings, database, found, order, folder, model, free)


def stored_recording(session: Session, name: str, asked: dict[str, Any]) -> StoredRecording | None:
    """The recording of this name with these settings; None when there is none, or an unfinished one with others.

    Errors: Conflict when the name is taken by a finished recording with other settings, or by an imported subject
    model.
    """
    subject = session.scalars(sa.select(SubjectModel).where(SubjectModel.name == name)).one_or_none()
    if subject is None:
        return None
    recording = session.scalars(sa.select(Recording).where(Recording.subject_id == subject.id)).one_or_none()
    if recording is None:
        raise Conflict(f"the name {name} is taken by an imported subject model; choose another with --name")
    difference = first_difference(recording.settings, asked)
    if difference is None:
        return StoredRecording(recording, subject)
    if recording.status == storing.DONE:
        raise Conflict(f"{name} was recorded with {difference}; choose another name with --name")
    return None


def loaded_model(folder: Path, mlp_module: str | None, dtype: str, n_threads: int | None) -> Subject:
    return load_subject(folder, n_tokens=EXCERPT_LENGTH, n_threads=n_threads, dtype=dtype, mlp_module=mlp_module)


def device_names(model: Subject) -> list[str]:
    """What the model runs on, as provenance names it: `cpu`, or the kind of each GPU."""
    devices = {model.device_of_layer(layer) for layer in range(model.n_layers)}
    return sorted({_device_name(device) for device in devices})


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def find_order(order: RecordingOrder) -> FoundOrder:
    """Errors: InvalidInput, UnknownName, Unavailable for what cannot be meant or read, or a text without words."""
    check_order(order)
    files = find_model(order.model)
    name = check_name(slug_of(files) if order.name is None else order.name)
    text = corpus.open_text(order.text)
    corpus.check_has_words(text)
    return FoundOrder(files, name, text, asked_settings(order, files.revision, text.name, text.hash))


def stored_plan(session: Session, recording: Recording) -> RecordingPlan:
    """The plan by which a stored recording is made."""
    n_excerpts = session.get_one(Corpus, recording.corpus_id).n_excerpts
    return plan_of(recording.settings, n_excerpts, recording.provenance["chunk_length"])


def _gone_on(database: Database, before: StoredRecording, model: Subject) -> BegunRecording:
    # A cancelled recording may have been left with some layers removed and others not.
    remove_cancelled(database, before.recording)
    with database.writing() as session:
        recording = recordings.reopen_recording(session, before.recording)
        plan = stored_plan(session, recording)
    return BegunRecording(StoredRecording(recording, before.subject), model, plan)


def _stored(
    settings: Settings,
    database: Database,
    found: FoundOrder,
    order: RecordingOrder,
    folder: Path,
    model: Subject,
    free: disk.FreeBytes,
) -> StoredRecording | BegunRecording:
    tokenizer = load_tokenizer(folder)
    excerpts = corpus.cut_excerpts(found.text, tokenizer, n_excerpts=order.n_excerpts, seed=order.seed)
    model.check_token_ids(excerpts.token_ids)
    tokenizer_hash = corpus.tokenizer_hash(tokenizer)
    whole = whole_settings(found.settings, dtype=model.dtype, is_gated=model.is_gated)
    plan = plan_of(whole, len(excerpts.token_ids), order.chunk_length)
    sizes = (model.n_layers, model.n_neurons_per_layer)
    disk.check_part(plan.waiting_bytes(1, model.n_neurons_per_layer))
    disk.check_room(database, plan.part_bytes(*sizes) + plan.stored_bytes(*sizes), free)
    provenance = _provenance(order, found.files, model, excerpts, tokenizer_hash)

    def start() -> StoredRecording:
        subject = _subject(found, model, tokenizer_hash)
        n_tokens = excerpts.token_ids.size
        recording = Recording(settings=whole, provenance=provenance, n_tokens=n_tokens, seconds=0.0)
        return _start(settings, database, StoredRecording(recording, subject), excerpts)

    try:
        started = start()
    except sa.exc.IntegrityError:
        # On PostgreSQL another process can begin the same, or store the same text, at the same moment. Now it is there
        # to be found.
        started = start()
    if started.is_done:
        return started
    return _gone_on(database, started, model)


def _subject(found: FoundOrder, model: Subject, tokenizer_hash: str) -> SubjectModel:
    return SubjectModel(
        name=found.name,
        revision=found.files.revision,
        architecture=model.model_type,
        n_layers=model.n_layers,
        n_neurons_per_layer=model.n_neurons_per_layer,
        dtype=model.dtype,
        tokenizer_hash=tokenizer_hash,
    )


def _start(settings: Settings, database: Database, new: StoredRecording, excerpts: Excerpts) -> StoredRecording:
    """Stores a recording in the place of an unfinished one with other settings; or finds one with the same settings,
    which another process has begun meanwhile."""
    replaced: list[Recording] = []
    with database.writing() as session:
        meanwhile = stored_recording(session, new.subject.name, new.recording.settings)
        if meanwhile is not None:
            return meanwhile
        named = sa.select(Recording).join(SubjectModel).where(SubjectModel.name == new.subject.name)
        for leftover in session.scalars(named).all():
            storing.remove_unfinished(session, leftover)
            replaced.append(leftover)
        corpus_row = storing.store_corpus(
            session,
            name=excerpts.name,
            hash=excerpts.hash,
            token_ids=excerpts.token_ids,
            token_texts=excerpts.token_texts,
        )
        storing.begin_recording(session, new.subject, new.recording, corpus_row)
    for leftover in replaced:
        jobs.cancel_recording_jobs(settings.jobs_database_url, leftover.id, leftover.created_at)
    return new


def _provenance(
    order: RecordingOrder, files: ModelFiles, model: Subject, excerpts: Excerpts, tokenizer_hash: str
) -> dict[str, Any]:
    """Where the numbers come from: what was found and used, rather than chosen."""
    return {
        "model": files.name,
        "source": source_of(order.model),
        "is_gated": model.is_gated,
        "tokenizer_hash": tokenizer_hash,
        "devices": device_names(model),
        "threads": model.n_threads,
        "batch_size": order.batch_size,
        "chunk_length": order.chunk_length,
        "corpus": excerpts.name,
        "corpus_hash": excerpts.hash,
        "excerpts_available": excerpts.n_available,
        "n_invalid_bytes": excerpts.n_invalid_bytes,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def source_of(model: str) -> str:
    """The name by which any worker finds a model: of a path the whole one."""
    return str(Path(model).resolve()) if model != BUNDLED and Path(model).exists() else model
