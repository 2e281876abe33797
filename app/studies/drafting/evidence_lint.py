"""Which neurons of a draft have no excerpts to stand beside their texts: an import may have brought a few or none."""

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import ActivationRow
from app.studies.dealing.evidence import shown_ranks
from app.studies.dealing.showing import explanations_of
from app.studies.models import Study, StudyNeuron
from app.studies.protocol import Protocol

NO_EVIDENCE = "would stand without any excerpt beside it"


def missing_evidence(session: Session, study: Study) -> dict[int, str]:
    """By neuron id, what raters would miss, continuing "the text ...": NO_EVIDENCE, or the bands that the protocol
    promises and of which nothing would be shown."""
    protocol = Protocol.model_validate(study.protocol)
    prompt_packs: dict[int, set[str]] = defaultdict(set)
    for (neuron_id, _), explanation in explanations_of(session, study).items():
        prompt_packs[neuron_id].add(explanation.prompt_pack)
    missing = {}
    for neuron_id, n_by_band in _n_by_band(session, study).items():
        shown = shown_ranks(protocol, n_by_band, prompt_packs[neuron_id])
        lacking = [band for band, n in protocol.evidence.items() if n and band not in shown]
        if not shown:
            missing[neuron_id] = NO_EVIDENCE
        elif lacking:
            missing[neuron_id] = f"would stand without any {' or '.join(lacking)} excerpt beside it"
    return missing


def _n_by_band(session: Session, study: Study) -> dict[int, dict[str, int]]:
    """By the id of each neuron of the study, how many excerpts of each band are recorded."""
    rows = session.execute(
        sa.select(StudyNeuron.neuron_id, ActivationRow.band, sa.func.count())
        .outerjoin(ActivationRow, ActivationRow.neuron_id == StudyNeuron.neuron_id)
        .where(StudyNeuron.study_id == study.id)
        .group_by(StudyNeuron.neuron_id, ActivationRow.band)
    )
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for neuron_id, band, n in rows:
        # A neuron without records comes with a band that is null.
        counts[neuron_id] |= {} if band is None else {band: n}
    return counts
