"""A study's design into a file and out of one, so that another lab can run the same study.

Where the subject model is recorded here, the file's evidence must be what is recorded; where it is not, the file
brings subject, neurons and excerpts with it. Either way the texts are the file's, whatever was explained here.
"""

from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron
from app.studies.audit import COMMAND_LINE, IMPORTED, record_event
from app.studies.conditions import check_conditions
from app.studies.dealing.design import design_hash
from app.studies.dealing.showing import explanations_of, text_as_shown
from app.studies.drafting.design_format import FORMAT_VERSION, plain_activations, read_design, written_design
from app.studies.drafting.design_rows import imported_neurons, imported_texts, matching_subject
from app.studies.drafting.freezing import (
    SUBJECT_FIELDS,
    design_of,
    neurons_of,
    quotas_of,
    recorded_excerpts,
)
from app.studies.lifecycle import add_draft, check_names
from app.studies.models import Study
from app.studies.queries import study_named

STATISTICS = ("maximum", "mean", "variance", "skewness", "kurtosis", "share_active", "q90")


def export_design(session: Session, slug: str) -> str:
    """The design as JSON text, see design_format.py. Errors: UnknownName; InvalidInput for numbers no JSON can hold."""
    study = study_named(session, slug)
    neurons, explanations = neurons_of(session, study), explanations_of(session, study)
    recorded = {neuron.id: recorded_excerpts(session, neuron) for neuron in neurons}
    excerpts = {excerpt.id: excerpt for rows in recorded.values() for _, excerpt in rows}
    places = {excerpt_id: place for place, excerpt_id in enumerate(excerpts)}
    return written_design(
        {
            "format_version": FORMAT_VERSION,
            "app_version": metadata.version("neuronjury"),
            "design_hash": study.design_hash,
            "slug": study.slug,
            "title": study.title,
            "instructions": study.instructions,
            "protocol": study.protocol,
            "seed": study.neuron_set["seed"],
            "subject": {name: getattr(study.subject, name) for name in SUBJECT_FIELDS},
            "conditions": [{"method": each.method, "explainer": each.explainer} for each in study.conditions],
            "corpus": _corpus_name(session, list(excerpts.values())),
            "excerpts": [_excerpt(excerpt) for excerpt in excerpts.values()],
            "neurons": [
                _place(neuron)
                | {"quota": quota}
                | {name: getattr(neuron, name) for name in STATISTICS}
                | {"texts": [text_as_shown(explanations.get((neuron.id, each.id))) for each in study.conditions]}
                | {"evidence": _evidence(recorded[neuron.id], places)}
                for neuron, quota in zip(neurons, quotas_of(study, neurons), strict=True)
            ],
        }
    )


def _place(neuron: Neuron) -> dict[str, Any]:
    return {"site": neuron.site, "layer": neuron.layer, "index": neuron.index}


def _excerpt(excerpt: Excerpt) -> dict[str, Any]:
    return {"token_ids": np.frombuffer(excerpt.token_ids, "<i4").tolist(), "token_texts": excerpt.token_texts}


def _evidence(recorded: Sequence[tuple[ActivationRow, Excerpt]], places: dict[int, int]) -> dict[str, Any]:
    """places: of the excerpts in the file, by id."""
    evidence: dict[str, list[dict[str, Any]]] = {}
    for row, excerpt in recorded:
        record = {"excerpt": places[excerpt.id], "activations": plain_activations(row.activations)}
        evidence.setdefault(row.band, []).append(record)
    return evidence


def _corpus_name(session: Session, excerpts: Sequence[Excerpt]) -> str:
    if not excerpts:
        return ""
    return session.scalar(sa.select(Corpus.name).where(Corpus.id == excerpts[0].corpus_id)) or ""


def import_design(
    session: Session, text: str, slug: str | None = None, *, now: datetime, who: str = COMMAND_LINE
) -> Study:
    """A draft of the design in the file. slug: None takes the file's.

    Errors, all before anything is stored for good: InvalidInput for a file that is no design; Conflict when the slug
    is taken, or when subject model or evidence differ from what is recorded here, naming the first neuron.
    """
    design = read_design(text)
    slug = design.slug if slug is None else slug
    check_names(slug, design.title)
    check_conditions(design.condition_pairs)
    subject = matching_subject(session, design.subject)
    neurons = imported_neurons(session, subject, design)
    study = Study(
        slug=slug,
        title=design.title,
        subject_id=subject.id,
        instructions=design.instructions,
        neuron_set={"kind": "imported", "study": design.slug, "n_neurons": len(neurons), "seed": design.seed},
        protocol=design.protocol.as_json(),
    )
    add_draft(session, study, design.condition_pairs, neurons)
    session.add_all(imported_texts(session, study, design, neurons))
    session.flush()
    record_event(session, study, who, IMPORTED, now, slug=design.slug, design=design.design_hash)
    return study


def is_same_design(session: Session, study: Study, expected_hash: str) -> bool:
    """Whether a draft would open under this hash. False where the file was changed, or this version reads it
    otherwise."""
    neurons, explanations = neurons_of(session, study), explanations_of(session, study)
    texts = [text_as_shown(explanations.get((n.id, each.id))) for n in neurons for each in study.conditions]
    return design_hash(design_of(session, study, neurons, texts)) == expected_hash
