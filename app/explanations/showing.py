"""What a prompt shows of a stored neuron: excerpts, cutoff, words. The worker, the estimate and the preview all build
their prompts from here."""

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.explainers import ExplainerSettings
from app.explanations.methods.marking import CUTOFF_QUANTILES, DEFAULT_CUTOFF, parse_cutoff
from app.explanations.methods.prompt import PromptPack, ShownNeuron
from app.explanations.methods.splits import explain_ranks
from app.explanations.prompt_packs.loading import load_pack, with_few_shots
from app.neurons.models import ActivationRow, Neuron
from app.neurons.reading import load_records, load_strongest, stored_cutoff
from app.neurons.records import BOTTOM, TOP, NeuronRecords, Side

PLENTY = 10**9
"""More records than any choice of excerpts asks for."""


def shown_neuron(session: Session, neuron: Neuron, settings: ExplainerSettings) -> ShownNeuron:
    """The excerpts that the settings choose of a neuron, and its cutoff. On the negative side signs are turned."""
    # Of the dozens of records that are kept only those are read that are shown: a batch reads them for every call.
    # Mostly there are enough, and nobody has to count them.
    ranks = explain_ranks(settings.excerpts, settings.n_excerpts, PLENTY)
    records = load_strongest(session, neuron.id, settings.side, ranks)
    if len(records) < len(ranks):
        n_recorded = _n_strongest(session, neuron, settings.side)
        ranks = explain_ranks(settings.excerpts, settings.n_excerpts, n_recorded)
        records = load_strongest(session, neuron.id, settings.side, ranks)
    maximum = ShownNeuron(records, 0.0).maximum
    return ShownNeuron(records, _cutoff(session, neuron, settings, maximum))


def pack_of(settings: ExplainerSettings) -> PromptPack:
    """The words of the prompts. Errors: UnknownName, InvalidInput as load_pack and with_few_shots."""
    return with_few_shots(load_pack(settings.prompt_pack), settings.n_few_shots)


def _n_strongest(session: Session, neuron: Neuron, side: Side) -> int:
    """How many records of one side are kept; out of the primary key alone."""
    band = BOTTOM if side == "negative" else TOP
    here = (ActivationRow.neuron_id == neuron.id, ActivationRow.band == band)
    return session.scalars(sa.select(sa.func.count()).select_from(ActivationRow).where(*here)).one()


def _cutoff(session: Session, neuron: Neuron, settings: ExplainerSettings, shown_maximum: float) -> float:
    rule = parse_cutoff(settings.cutoff)
    if rule.share is not None:
        return rule.share * shown_maximum
    if rule.quantile is None or rule.quantile == DEFAULT_CUTOFF:
        stored = stored_cutoff(neuron, settings.side)
        return load_records(session, neuron, settings.side).cutoff if stored is None else stored
    other: float | None = getattr(neuron, rule.quantile)
    if other is not None:
        return other
    return _estimated(load_records(session, neuron, settings.side), CUTOFF_QUANTILES[rule.quantile])


def _estimated(records: NeuronRecords, quantile: float) -> float:
    """For a neuron imported without its quantiles: from its random records if it has any, else from its top ones."""
    maxima = [record.maximum for record in records.random or records.top]
    return float(np.quantile(maxima, quantile)) if maxima else 0.0
