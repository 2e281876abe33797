"""What opening a study freezes: its texts, who judges how much, the evidence, and the hash over all of it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.models import Explanation
from app.neurons.models import ActivationRow, Excerpt, Neuron
from app.studies.dealing.design import keyed_permutation
from app.studies.dealing.showing import text_as_shown
from app.studies.drafting.spreading import evenly_spread
from app.studies.models import FrozenText, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.queries import condition_names

Explanations = dict[tuple[int, int], Explanation]
"""By (neuron id, condition id)."""
SUBJECT_FIELDS = ("name", "revision", "architecture", "n_layers", "n_neurons_per_layer", "dtype", "tokenizer_hash")


def neurons_of(session: Session, study: Study) -> Sequence[Neuron]:
    """The study's neurons in its order."""
    query = sa.select(Neuron).join(StudyNeuron, StudyNeuron.neuron_id == Neuron.id)
    return session.scalars(query.where(StudyNeuron.study_id == study.id).order_by(StudyNeuron.position)).all()


def frozen_texts(study: Study, neurons: Sequence[Neuron], explanations: Explanations) -> list[FrozenText]:
    """The texts as shown, by neuron and then condition. Nothing is missing: the lint would have found it empty."""
    return [
        FrozenText(
            study_id=study.id,
            condition_id=condition.id,
            neuron_id=neuron.id,
            explanation_id=explanations[neuron.id, condition.id].id,
            text=text_as_shown(explanations[neuron.id, condition.id]),
        )
        for neuron in neurons
        for condition in study.conditions
    ]


def quotas(protocol: Protocol, layers: Sequence[int], seed: int) -> list[int | None]:
    """For each neuron how many raters judge it, None for every rater.

    layers: of the study's neurons, in its order. The neurons for every rater are spread evenly over the layers.
    """
    key, n_shared = str(seed).encode(), protocol.n_shared(len(layers))
    drawn = keyed_permutation(key, len(layers), "shared")
    by_layer = sorted(range(len(layers)), key=lambda position: (layers[position], drawn[position]))
    shared = {by_layer[place] for place in evenly_spread(key, n_shared, len(layers), "shared")}
    return [None if position in shared else protocol.quota_of_others() for position in range(len(layers))]


def quotas_of(study: Study, neurons: Sequence[Neuron]) -> list[int | None]:
    """The quotas that opening sets, in the study's order."""
    protocol = Protocol.model_validate(study.protocol)
    return quotas(protocol, [neuron.layer for neuron in neurons], study.neuron_set["seed"])


def design_of(session: Session, study: Study, neurons: Sequence[Neuron], texts: Sequence[str]) -> dict[str, Any]:
    """Everything that opening freezes. The key of the orders stays out: the hash is published with the results.

    texts: as shown, by neuron and then condition.
    """
    return {
        "subject": {name: getattr(study.subject, name) for name in SUBJECT_FIELDS},
        "conditions": condition_names(study),
        "neurons": [[neuron.site, neuron.layer, neuron.index] for neuron in neurons],
        "quotas": quotas_of(study, neurons),
        "texts": list(texts),
        "evidence": evidence_digests(session, neurons),
        "title": study.title,
        "instructions": study.instructions,
        "protocol": study.protocol,
        "seed": study.neuron_set["seed"],
    }


def evidence_digests(session: Session, neurons: Sequence[Neuron]) -> list[str]:
    """For each neuron `evidence_digest` over all that is recorded of it."""
    return [evidence_digest(recorded_excerpts(session, neuron)) for neuron in neurons]


def recorded_excerpts(session: Session, neuron: Neuron) -> list[tuple[ActivationRow, Excerpt]]:
    """What is recorded of a neuron, by band and rank."""
    query = sa.select(ActivationRow, Excerpt).join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
    rows = session.execute(query.where(ActivationRow.neuron_id == neuron.id))
    # Sorted here: databases differ in how they sort texts.
    return sorted(((row, excerpt) for row, excerpt in rows), key=lambda pair: (pair[0].band, pair[0].rank))


def evidence_digest(recorded: Iterable[tuple[ActivationRow, Excerpt]]) -> str:
    """A SHA-256, hexadecimal, over band, rank, token texts and activations of these excerpts, in this order."""
    digest = hashlib.sha256()
    for row, excerpt in recorded:
        digest.update(json.dumps([row.band, row.rank, excerpt.token_texts, row.activations.hex()]).encode())
    return digest.hexdigest()
