"""Subject models that came with an import: made, grown, and each with the corpus of its excerpts. Recorded ones stay as
they are."""

import hashlib

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, UnknownName
from app.neurons.models import Corpus, Recording, SubjectModel
from app.neurons.names import PUZZLES, check_subject_name
from app.neurons.reading import subject_named

UNKNOWN = "unknown"
"""Stands where an import does not say the revision, architecture or number type of a model."""


def check_takes_activations(session: Session, name: str, architecture: str | None = UNKNOWN) -> None:
    """architecture: PUZZLES for puzzles, UNKNOWN for neurons, None for either.

    Errors: InvalidInput for a name that no subject may have; Conflict for a subject that was recorded here, and for
    puzzles among neurons or neurons among puzzles.
    """
    check_subject_name(name)
    subject = session.scalar(sa.select(SubjectModel).where(SubjectModel.name == name))
    if subject is None:
        return
    if architecture is not None:
        _check_architecture(subject, architecture)
    if is_recorded(session, subject.id):
        raise Conflict(f"{name} was recorded here; only explanations and scores can be imported for it, no activations")


def check_takes_texts(session: Session, name: str, architecture: str | None = None) -> None:
    """architecture: PUZZLES for texts about puzzles, UNKNOWN for those about neurons, None where they may be of either.

    Errors: InvalidInput for a name that no subject may have; Conflict for a subject that is being recorded, and for
    texts about puzzles among neurons or the other way round.
    """
    check_subject_name(name)
    subject = session.scalar(sa.select(SubjectModel).where(SubjectModel.name == name))
    if subject is None:
        return
    if architecture is not None:
        _check_architecture(subject, architecture)
    try:
        subject_named(session, name)
    except UnknownName:
        raise Conflict(f"the recording of {name} is not finished; expected a whole one") from None


def _check_architecture(subject: SubjectModel, architecture: str) -> None:
    if architecture == PUZZLES and subject.architecture != PUZZLES:
        raise Conflict(f"the neurons of {subject.name} are no puzzles; expected another subject for puzzles")
    if architecture != PUZZLES and subject.architecture == PUZZLES:
        raise Conflict(f"the neurons of {subject.name} are puzzles; expected another subject")


def is_recorded(session: Session, subject_id: int) -> bool:
    return session.scalar(sa.select(Recording.id).where(Recording.subject_id == subject_id)) is not None


def imported_subject(
    session: Session, name: str, *, n_layers: int, n_neurons_per_layer: int, architecture: str | None = UNKNOWN
) -> SubjectModel:
    """The imported subject model of that name, made or grown to at least this size, never shrunk.

    Its row is locked until the transaction ends, so that two imports for one subject take turns.
    Errors: InvalidInput and Conflict as `check_takes_activations`.
    """
    check_takes_activations(session, name, architecture)
    _make_if_missing(session, name, architecture or UNKNOWN)
    subject = locked_subject(session, name)
    subject.n_layers = max(subject.n_layers, n_layers)
    subject.n_neurons_per_layer = max(subject.n_neurons_per_layer, n_neurons_per_layer)
    session.flush()
    return subject


def locked_subject(session: Session, name: str) -> SubjectModel:
    """The subject of that name, which is there; whoever else imports for it or numbers its samples waits."""
    locked = sa.select(SubjectModel).where(SubjectModel.name == name).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()


def _make_if_missing(session: Session, name: str, architecture: str) -> None:
    if session.scalar(sa.select(SubjectModel.id).where(SubjectModel.name == name)) is not None:
        return
    subject = SubjectModel(
        name=name,
        revision=UNKNOWN,
        architecture=architecture,
        n_layers=0,
        n_neurons_per_layer=0,
        dtype=UNKNOWN,
        tokenizer_hash="",
    )
    try:
        with session.begin_nested():
            session.add(subject)
    except IntegrityError:
        # Another import made it in the meantime, which is as good.
        return


def imported_corpus(session: Session, subject: SubjectModel) -> Corpus:
    """The corpus of everything imported for a subject, made once. The caller holds the subject's lock."""
    name = f"imported: {subject.name}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    corpus = session.scalar(sa.select(Corpus).where(Corpus.hash == digest))
    if corpus is None:
        corpus = Corpus(name=name, hash=digest, excerpt_length=0, n_excerpts=0)
        session.add(corpus)
        session.flush()
    return corpus
