"""One neuron as JSON for other programs: raw activations, not colours."""

from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.neurons import queries
from app.neurons.contexts import MethodBeside
from app.neurons.models import Neuron
from app.neurons.reading import load_records
from app.neurons.records import ActivationRecord


class RecordJson(BaseModel):
    """One excerpt: activations has one value per token."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]


class ExplanationJson(BaseModel):
    """text is null unless the explanation is done, failure unless it failed."""

    method: str
    explainer: str
    prompt_pack: str
    sample_number: int
    text: str | None
    failure: str | None


class NeuronJson(BaseModel):
    """Statistics are over every token of the corpus."""

    subject: str
    layer: int
    index: int
    maximum: float
    q90: float = Field(description="The 0.9 quantile of the excerpts' maxima.")
    mean: float
    standard_deviation: float
    share_active: float = Field(description="Share of tokens with an activation above 0.")
    skewness: float | None
    kurtosis: float | None
    top: tuple[RecordJson, ...] = Field(description="The strongest excerpts, best first.")
    random: tuple[RecordJson, ...] = Field(description="Excerpts drawn at random.")
    explanations: tuple[ExplanationJson, ...]


def neuron_json(session: Session, neuron: Neuron, methods: tuple[MethodBeside, ...]) -> NeuronJson:
    records = load_records(session, neuron)
    figures: dict[str, Any] = vars(queries.figures_of(neuron))
    return NeuronJson(
        subject=records.subject,
        layer=records.layer,
        index=records.index,
        **figures,
        top=tuple(_record(record) for record in records.top),
        random=tuple(_record(record) for record in records.random),
        explanations=tuple(
            ExplanationJson(method=method.method, **vars(explanation))
            for method in methods
            for explanation in method.explanations
        ),
    )


def _record(record: ActivationRecord) -> RecordJson:
    return RecordJson(tokens=record.tokens, activations=tuple(record.activations.tolist()))
