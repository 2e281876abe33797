"""Records a subject model: from the names a user gives to stored neurons. Everything is checked before the first write.

A recording that was stopped or killed half-way leaves nothing that anyone sees; the next one of its name clears up.
"""

import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.neurons import storing
from app.neurons.models import MLP, Recording, SubjectModel
from app.neurons.records import N_RANDOM_RECORDS, N_TOP_RECORDS
from app.settings import Settings
from worker import corpus
from worker.corpus import EXCERPT_LENGTH, LARGEST_SEED, Excerpts, Text
from worker.model_files import ModelFiles, find_model, slug_of, transformers_folder
from worker.recorder import Recorder, record
from worker.subject import Subject, load_subject, load_tokenizer

LONGEST_NAME = 100
PACKAGES = ("numpy", "tokenizers", "torch", "transformers")

Progress = Callable[[str, int, int], None]
"""(stage, done, total): LOADING without numbers, then RECORDING in tokens, then STORING in layers."""
LOADING = "loading"
RECORDING = "recording"
STORING = "storing"


@dataclass(frozen=True)
class RecordingSummary:
    """What is stored under a name now.

    n_available: excerpts that the text has to choose from. seconds: of the pass over the excerpts alone.
    was_done: it was there already, with these settings, and nothing was written.
    """

    name: str
    corpus: str
    n_layers: int
    n_neurons: int
    n_excerpts: int
    n_available: int
    n_tokens: int
    seconds: float
    was_done: bool


def record_subject(
    settings: Settings,
    database: Database,
    *,
    model: str,
    text: str,
    name: str | None,
    n_excerpts: int,
    seed: int,
    batch_size: int,
    progress: Progress,
) -> RecordingSummary:
    """Records a model over excerpts of a text and stores it as the subject model `name` (None: named after the model).

    model: see find_model. text: see open_text. n_excerpts: how many to draw; all of them when the text has fewer.
    Errors: InvalidInput, UnknownName, Unavailable for what cannot be read; Conflict when the name is taken by another
    recording. Whatever stops it, Ctrl-C too, no part of a recording stays behind.
    """
    _check_numbers(n_excerpts, seed, batch_size)
    files = find_model(model)
    name = _checked_name(slug_of(files) if name is None else name)
    source = corpus.open_text(text)
    asked = _settings(files, source, n_excerpts, seed)
    with database.reading() as session:
        done = _finished_before(session, name, asked)
    if done is not None:
        return done
    corpus.check_has_words(source)
    progress(LOADING, 0, 0)
    folder = transformers_folder(files, settings.models_folder)
    # The model first: it is sooner found out that the place of its neurons is not known than how long the text is.
    subject = load_subject(folder, n_tokens=EXCERPT_LENGTH, n_threads=settings.threads)
    tokenizer = load_tokenizer(folder)
    excerpts = corpus.cut_excerpts(source, tokenizer, n_excerpts=n_excerpts, seed=seed)
    recorder, seconds = _timed_pass(subject, excerpts, seed, batch_size, progress)
    subject_row = SubjectModel(
        name=name,
        revision=files.revision,
        architecture=subject.model_type,
        n_layers=subject.n_layers,
        n_neurons_per_layer=subject.n_neurons_per_layer,
        dtype=subject.dtype,
        tokenizer_hash=corpus.tokenizer_hash(tokenizer),
    )
    recording_row = Recording(
        settings=asked,
        provenance=_provenance(files, subject, excerpts, batch_size),
        n_tokens=excerpts.token_ids.size,
        seconds=seconds,
    )
    return _store(database, subject_row, recording_row, excerpts, recorder, progress)


def _check_numbers(n_excerpts: int, seed: int, batch_size: int) -> None:
    if n_excerpts < 1:
        raise InvalidInput(f"{n_excerpts} excerpts; expected at least 1")
    if batch_size < 1:
        raise InvalidInput(f"batch size {batch_size}; expected at least 1")
    if not 0 <= seed <= LARGEST_SEED:
        raise InvalidInput(f"seed {seed}; expected 0 to {LARGEST_SEED}")


def _checked_name(name: str) -> str:
    if len(name) > LONGEST_NAME or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise InvalidInput(
            f"the name {name!r} cannot stand in an address; expected up to {LONGEST_NAME} of a-z, 0-9, '-' and '.'"
        )
    return name


def _settings(files: ModelFiles, source: Text, n_excerpts: int, seed: int) -> dict[str, Any]:
    """Everything that decides the recorded numbers and was chosen by someone. Equal settings, equal recording."""
    return {
        "model": files.revision,
        "text": source.name,
        "text_hash": source.hash,
        "excerpts": n_excerpts,
        "excerpt_length": EXCERPT_LENGTH,
        "seed": seed,
        "site": MLP,
        "positions": "every token counts; no token is put before an excerpt",
        "top": N_TOP_RECORDS,
        "random": N_RANDOM_RECORDS,
    }


def _provenance(files: ModelFiles, subject: Subject, excerpts: Excerpts, batch_size: int) -> dict[str, Any]:
    """Where the numbers come from: what was found and used, rather than chosen."""
    return {
        "model": files.name,
        "dtype": subject.dtype,
        "device": subject.device.type,
        "threads": subject.n_threads,
        "batch_size": batch_size,
        "corpus": excerpts.name,
        "corpus_hash": excerpts.hash,
        "excerpts_available": excerpts.n_available,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def _finished_before(session: Session, name: str, asked: dict[str, Any]) -> RecordingSummary | None:
    """The recording of this name when it is whole and has these settings; None when the name is free.

    Errors: Conflict when the name is taken by a recording with other settings, or by an imported subject model.
    """
    subject = session.scalars(sa.select(SubjectModel).where(SubjectModel.name == name)).one_or_none()
    if subject is None:
        return None
    recording = session.scalars(sa.select(Recording).where(Recording.subject_id == subject.id)).one_or_none()
    if recording is None:
        raise Conflict(f"the name {name} is taken by an imported subject model; choose another with --name")
    if recording.status != storing.DONE:
        return None
    differing = [key for key in asked if recording.settings.get(key) != asked[key]]
    if differing:
        key = differing[0].replace("_", " ")
        # Of a hash the beginning is enough to see that it is another one.
        before, now = (str(chosen.get(differing[0]))[:20] for chosen in (recording.settings, asked))
        raise Conflict(f"{name} was recorded with {key} {before}, now it is {now}; choose another name with --name")
    return _summary(subject, recording, was_done=True)


def _timed_pass(
    subject: Subject, excerpts: Excerpts, seed: int, batch_size: int, progress: Progress
) -> tuple[Recorder, float]:
    n_tokens = excerpts.token_ids.size
    progress(RECORDING, 0, n_tokens)
    started = time.perf_counter()
    recorder = record(
        subject,
        excerpts.token_ids,
        seed=seed,
        batch_size=batch_size,
        progress=lambda n_seen: progress(RECORDING, n_seen * EXCERPT_LENGTH, n_tokens),
    )
    return recorder, time.perf_counter() - started


def _store(
    database: Database,
    subject: SubjectModel,
    recording: Recording,
    excerpts: Excerpts,
    recorder: Recorder,
    progress: Progress,
) -> RecordingSummary:
    """One short transaction per layer, so that others can write in between; whole when the last one is committed."""
    with database.writing() as session:
        _clear_leftovers(session, subject.name, recording.settings)
        corpus_row = storing.store_corpus(
            session,
            name=excerpts.name,
            hash=excerpts.hash,
            token_ids=excerpts.token_ids,
            token_texts=excerpts.token_texts,
        )
        storing.begin_recording(session, subject, recording, corpus_row)
    try:
        for layer in recorder.layers():
            progress(STORING, layer.layer, subject.n_layers)
            with database.writing() as session:
                storing.store_layer(session, recording, layer)
        with database.writing() as session:
            storing.finish_recording(session, recording)
    except BaseException:
        with database.writing() as session:
            storing.remove_unfinished(session, recording)
        raise
    progress(STORING, subject.n_layers, subject.n_layers)
    return _summary(subject, recording, was_done=False)


def _clear_leftovers(session: Session, name: str, asked: dict[str, Any]) -> None:
    # Asked again: another process may have finished a recording of this name while this one was under way.
    if _finished_before(session, name, asked) is not None:
        raise Conflict(f"{name} was recorded by another process in the meantime")
    leftovers = sa.select(Recording).join(SubjectModel).where(SubjectModel.name == name)
    for recording in session.scalars(leftovers):
        storing.remove_unfinished(session, recording)


def _summary(subject: SubjectModel, recording: Recording, *, was_done: bool) -> RecordingSummary:
    return RecordingSummary(
        name=subject.name,
        corpus=recording.provenance["corpus"],
        n_layers=subject.n_layers,
        n_neurons=subject.n_layers * subject.n_neurons_per_layer,
        n_excerpts=recording.n_tokens // EXCERPT_LENGTH,
        n_available=recording.provenance["excerpts_available"],
        n_tokens=recording.n_tokens,
        seconds=recording.seconds,
        was_done=was_done,
    )
