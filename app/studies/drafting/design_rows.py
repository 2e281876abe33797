"""The rows that a design out of a file needs: subject model, neurons, excerpts and texts, found here or made."""

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.explanations.methods import IMPORTED
from app.explanations.models import DONE, Explanation
from app.neurons import storing
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, Recording, SubjectModel
from app.neurons.names import check_subject_name
from app.studies.dealing.showing import text_as_shown
from app.studies.drafting.design_format import DesignFile, FileNeuron, FileSubject
from app.studies.drafting.freezing import evidence_digest, recorded_excerpts
from app.studies.models import Condition, FrozenText, Study

SIZES = ("n_layers", "n_neurons_per_layer")
# Stands where an explanation made here names its prompt pack.
PROMPT_PACK = IMPORTED


def matching_subject(session: Session, wanted: FileSubject) -> SubjectModel:
    """The subject model of that name, made where there is none. One without a recording came by imports, which let it
    grow, so it may be larger here.

    Errors: InvalidInput for a name that none may have; Conflict where the one here is another model or its recording
    is not whole.
    """
    check_subject_name(wanted.name)
    subject = session.scalar(sa.select(SubjectModel).where(SubjectModel.name == wanted.name))
    if subject is None:
        return _new_subject(session, wanted)
    status = session.scalar(sa.select(Recording.status).where(Recording.subject_id == subject.id))
    for name, value in wanted.model_dump().items():
        here = getattr(subject, name)
        has_grown = status is None and name in SIZES and here > value
        if here != value and not has_grown:
            raise Conflict(f"{name} of the subject model {wanted.name} is {here!r} here; the design has {value!r}")
    if status not in (None, storing.DONE):
        raise Conflict(f"the recording of {wanted.name} is not done ({status}); import the design when it is")
    return subject


def _new_subject(session: Session, wanted: FileSubject) -> SubjectModel:
    subject = SubjectModel(**wanted.model_dump())
    try:
        with session.begin_nested():
            session.add(subject)
    except IntegrityError:
        raise Conflict(f"{wanted.name} was recorded at this very moment; import the design again") from None
    return subject


def imported_neurons(session: Session, subject: SubjectModel, design: DesignFile) -> list[Neuron]:
    """The design's neurons in its order; those that are not here are made, with their evidence.

    Errors: Conflict for a neuron whose evidence differs from the file's, or that a recording here lacks.
    """
    is_recorded = session.scalar(sa.select(Recording.id).where(Recording.subject_id == subject.id)) is not None
    here = {_place(neuron): neuron for neuron in _neurons_here(session, subject, design)}
    missing = [wanted for wanted in design.neurons if wanted.place not in here]
    expected = [Excerpt(token_texts=excerpt.token_texts) for excerpt in design.excerpts]
    for wanted in design.neurons:
        name, is_here = f"neuron {wanted.layer}:{wanted.index} of {subject.name}", wanted.place in here
        if not is_here and is_recorded:
            raise Conflict(f"{name} is not in the recording here; the study would not be the same")
        if is_here and not _has_evidence(session, here[wanted.place], wanted, expected):
            raise Conflict(
                f"the evidence of {name} differs from what is recorded here; the study would not be the same"
            )
    if missing:
        excerpts = _stored_excerpts(session, design)
        here |= {wanted.place: _new_neuron(session, subject, wanted, excerpts) for wanted in missing}
    session.flush()
    return [here[wanted.place] for wanted in design.neurons]


def _place(neuron: Neuron) -> tuple[str, int, int]:
    return neuron.site, neuron.layer, neuron.index


def _neurons_here(session: Session, subject: SubjectModel, design: DesignFile) -> Iterator[Neuron]:
    # One look into the index for each: a design has few neurons, a recording hundreds of thousands.
    for site, layer, index in (wanted.place for wanted in design.neurons):
        here = (Neuron.subject_id == subject.id, Neuron.site == site, Neuron.layer == layer, Neuron.index == index)
        if (neuron := session.scalar(sa.select(Neuron).where(*here))) is not None:
            yield neuron


def _has_evidence(session: Session, neuron: Neuron, wanted: FileNeuron, excerpts: Sequence[Excerpt]) -> bool:
    expected = [(row, excerpts[place]) for row, place in _rows(wanted)]
    return evidence_digest(recorded_excerpts(session, neuron)) == evidence_digest(expected)


def _rows(wanted: FileNeuron) -> Iterator[tuple[ActivationRow, int]]:
    """The neuron's records by band and rank, each with its excerpt's place in the file."""
    for band, records in sorted(wanted.evidence.items()):
        for rank, record in enumerate(records):
            maximum = float(np.float16(max(record.activations)))
            row = ActivationRow(band=band, rank=rank, maximum=maximum, activations=record.stored_activations())
            yield row, record.excerpt


def _stored_excerpts(session: Session, design: DesignFile) -> list[Excerpt]:
    """The file's excerpts as a corpus of their own: under the original's hash, a later recording would take the few
    that the file has for the whole corpus."""
    content = json.dumps([excerpt.model_dump() for excerpt in design.excerpts])
    digest = hashlib.sha256(b"imported" + content.encode()).hexdigest()
    corpus = session.scalar(sa.select(Corpus).where(Corpus.hash == digest))
    if corpus is not None:
        mine = sa.select(Excerpt).where(Excerpt.corpus_id == corpus.id).order_by(Excerpt.position)
        return list(session.scalars(mine))
    longest = max((len(excerpt.token_texts) for excerpt in design.excerpts), default=0)
    corpus = Corpus(name=design.corpus, hash=digest, excerpt_length=longest, n_excerpts=len(design.excerpts))
    session.add(corpus)
    session.flush()
    excerpts = [
        Excerpt(
            corpus_id=corpus.id,
            position=position,
            token_ids=np.asarray(excerpt.token_ids, "<i4").tobytes(),
            token_texts=list(excerpt.token_texts),
        )
        for position, excerpt in enumerate(design.excerpts)
    ]
    session.add_all(excerpts)
    session.flush()
    return excerpts


def _new_neuron(session: Session, subject: SubjectModel, wanted: FileNeuron, excerpts: Sequence[Excerpt]) -> Neuron:
    neuron = Neuron(subject_id=subject.id, **wanted.model_dump(exclude={"quota", "texts", "evidence"}))
    session.add(neuron)
    session.flush()
    for row, place in _rows(wanted):
        row.neuron_id, row.excerpt_id = neuron.id, excerpts[place].id
        session.add(row)
    return neuron


def imported_texts(
    session: Session, study: Study, design: DesignFile, neurons: Sequence[Neuron]
) -> Iterator[FrozenText]:
    """The file's texts, each with an explanation that says the same; an empty one stays away."""
    for neuron, wanted in zip(neurons, design.neurons, strict=True):
        for condition, text in zip(study.conditions, wanted.texts, strict=True):
            if text:
                explanation = _explanation(session, neuron, condition, text)
                yield FrozenText(
                    study_id=study.id,
                    condition_id=condition.id,
                    neuron_id=neuron.id,
                    explanation_id=explanation.id,
                    text=text_as_shown(explanation),
                )


def _explanation(session: Session, neuron: Neuron, condition: Condition, text: str) -> Explanation:
    """One that is here and reads the same, or a new one."""
    mine = {
        "neuron_id": neuron.id,
        "method": condition.method,
        "explainer": condition.explainer,
        "side": "positive",
    }
    known = session.scalars(sa.select(Explanation).filter_by(**mine).order_by(Explanation.id)).all()
    for explanation in known:
        if explanation.status == DONE and text_as_shown(explanation) == text:
            return explanation
    # Behind all samples that are here, so that no other study of this installation changes its text.
    number = max((explanation.sample_number for explanation in known), default=-1) + 1
    new = Explanation(**mine, prompt_pack=PROMPT_PACK, sample_number=number, status=DONE, text=text, text_received=text)
    session.add(new)
    session.flush()
    return new
