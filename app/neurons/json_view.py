"""One neuron as JSON for other programs: raw activations, not colours."""

from typing import Any

import numpy as np
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.neurons import queries
from app.neurons.bands import records_by_band
from app.neurons.bare import is_bare
from app.neurons.contexts import ExplanationBeside, MethodBeside
from app.neurons.models import Neuron
from app.neurons.records import BANDS, RANDOM, TOP, ActivationRecord, Side


class RecordJson(BaseModel):
    """One excerpt: activations has one value per token."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]


class ScoreJson(BaseModel):
    """value is null where there is a reason."""

    metric: str
    scorer: str
    value: float | None
    reason: str | None


class ExplanationJson(BaseModel):
    """text is null unless the explanation is done, failure unless it failed."""

    method: str
    explainer: str
    prompt_pack: str
    side: Side = Field(description="What it describes: large activations (positive), or very negative ones (negative).")
    sample_number: int
    text: str | None
    failure: str | None
    scores: tuple[ScoreJson, ...]


class HistogramJson(BaseModel):
    """Counts of excerpts by their maxima, in bins of equal width from low to high."""

    low: float
    high: float
    counts: tuple[int, ...]


class NeuronJson(BaseModel):
    """Statistics are over every token of the corpus, null where an import did not bring them."""

    subject: str
    layer: int
    index: int
    maximum: float | None = Field(description="Null where no activations of it are here, but only texts about it.")
    maximum_excerpt: int | None = Field(description="Position in the corpus of the excerpt with the maximum, from 0.")
    maximum_token: int | None = Field(description="Which token of that excerpt, from 0.")
    minimum: float | None
    minimum_excerpt: int | None
    minimum_token: int | None
    mean: float | None
    standard_deviation: float | None
    share_active: float | None = Field(description="Share of tokens with an activation above 0.")
    skewness: float | None
    kurtosis: float | None
    q50: float | None = Field(description="The 0.5 quantile of the excerpts' maxima; so are q90, q99 and q999.")
    q90: float | None = Field(description="The 0.9 quantile of the excerpts' maxima.")
    q99: float | None
    q999: float | None
    q90_negative: float | None = Field(description="The 0.9 quantile of the excerpts' minima, their sign turned.")
    histogram: HistogramJson | None
    top: tuple[RecordJson, ...] = Field(description="The strongest excerpts, best first.")
    random: tuple[RecordJson, ...] = Field(description="Excerpts drawn at random.")
    bands: dict[str, tuple[RecordJson, ...]] = Field(
        description=f"Every kept record by band: {', '.join(BANDS)}. The activations of `bottom` keep their sign."
    )
    explanations: tuple[ExplanationJson, ...]


def neuron_json(session: Session, neuron: Neuron, methods: tuple[MethodBeside, ...]) -> NeuronJson:
    bands = {
        band: tuple(_record(record) for record in records)
        for band, records in records_by_band(session, neuron.id).items()
    }
    figures: dict[str, Any] = vars(queries.figures_of(neuron, is_bare=is_bare(session, neuron)))
    return NeuronJson(
        subject=neuron.subject.name,
        layer=neuron.layer,
        index=neuron.index,
        **figures,
        maximum_excerpt=neuron.maximum_excerpt,
        maximum_token=neuron.maximum_token,
        minimum_excerpt=neuron.minimum_excerpt,
        minimum_token=neuron.minimum_token,
        q90_negative=neuron.q90_negative,
        histogram=_histogram(neuron),
        top=bands[TOP],
        random=bands[RANDOM],
        bands=bands,
        explanations=tuple(_explanation(method, said) for method in methods for said in method.explanations),
    )


def _record(record: ActivationRecord) -> RecordJson:
    return RecordJson(tokens=record.tokens, activations=tuple(record.activations.tolist()))


def _histogram(neuron: Neuron) -> HistogramJson | None:
    if neuron.histogram is None or neuron.histogram_low is None or neuron.histogram_high is None:
        return None
    counts = tuple(np.frombuffer(neuron.histogram, "<i4").tolist())
    return HistogramJson(low=neuron.histogram_low, high=neuron.histogram_high, counts=counts)


def _explanation(method: MethodBeside, said: ExplanationBeside) -> ExplanationJson:
    scores = tuple(
        ScoreJson(metric=score.metric, scorer=score.scorer, value=score.value, reason=score.reason)
        for score in said.scores
        if score.is_done
    )
    return ExplanationJson(**(vars(said) | {"method": method.method, "scores": scores}))
