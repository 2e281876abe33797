"""The page of one score: what was measured, and what a simulator expected beside what the neuron did. Reads that score
and the records of its neuron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import UnknownName
from app.explanations.methods import method_title
from app.explanations.models import DONE, Explanation, Score, SimulatedExcerpt
from app.explanations.scoring.settings import METRIC_TITLES
from app.neurons.bands import bands_kept, scale_maxima
from app.neurons.contexts import NeuronPlace
from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.models import ActivationRow, Excerpt, Neuron
from app.neurons.reading import STORED_FLOAT
from app.neurons.records import LARGEST_DISCRETISED, ActivationRecord, Float16Array, Side
from app.web.formatting import number
from app.web.templating import PageContext

STORED_EXPECTED = np.dtype("<f4")


@dataclass(frozen=True)
class SimulatedShown:
    """One scored excerpt twice, token by token.

    correlation: of the two on this excerpt; null where it is undefined.
    true: what the neuron did; empty where that is not stored. expected: what the simulator foretold, on its own scale.
    """

    correlation: float | None
    true: tuple[HeatmapSpan, ...]
    expected: tuple[HeatmapSpan, ...]


@dataclass(frozen=True)
class ScorePage(PageContext):
    """What templates/neurons/score.html shows.

    subject_name: of the subject model.
    place: which neuron.
    method: the title of the method that the explanation is by.
    explainer: who wrote it.
    side: which end of the neuron's range it describes.
    text: the explanation.
    title: of the metric.
    scorer: who measured.
    value: the score, or null.
    reason: why there is none, or null.
    details: (name, value) of what else the metric says.
    scale_maximum: the activation that has the strongest colour, without its sign.
    excerpts: what was simulated, in the order it was scored in.
    """

    template: ClassVar[str] = "neurons/score.html"
    subject_name: str
    place: NeuronPlace
    method: str
    explainer: str
    side: Side
    text: str
    title: str
    scorer: str
    value: float | None
    reason: str | None
    details: tuple[tuple[str, str], ...]
    scale_maximum: float
    excerpts: tuple[SimulatedShown, ...]


def score_page(session: Session, neuron: Neuron, score_id: int) -> ScorePage:
    """Errors: UnknownName when the neuron has no such score, or it is not done."""
    found = session.execute(
        sa.select(Score, Explanation)
        .join(Explanation, Explanation.id == Score.explanation_id)
        .where(Score.id == score_id, Score.status == DONE, Explanation.neuron_id == neuron.id)
    ).one_or_none()
    if found is None:
        raise UnknownName(
            f"neuron {neuron.layer}:{neuron.index} of {neuron.subject.name!r} has no done score {score_id}"
        )
    score, explanation = found
    side: Side = "negative" if explanation.side == "negative" else "positive"
    scale = scale_maxima(session, neuron.id, bands_kept(session, neuron.id))[side]
    return ScorePage(
        subject_name=neuron.subject.name,
        place=NeuronPlace(neuron.layer, neuron.index),
        method=method_title(explanation.method),
        explainer=explanation.explainer,
        side=side,
        text=explanation.text or "",
        title=METRIC_TITLES.get(score.metric, score.metric),
        scorer=score.scorer,
        value=score.value,
        reason=score.reason,
        details=_details_in_words(score.details),
        scale_maximum=scale,
        excerpts=_simulated(session, score.id, neuron.id, side, scale),
    )


def _details_in_words(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for name, value in details.items():
        words = name.removesuffix("_score").replace("_", " ")
        words = f"number of {words[2:]}" if words.startswith("n ") else words
        if isinstance(value, Mapping):
            pairs += [(f"{words} {inner}", text) for inner, text in _details_in_words(value)]
        else:
            pairs.append((words, number(value) if value is None or type(value) is float else str(value)))
    return tuple(pairs)


def _simulated(session: Session, score_id: int, neuron_id: int, side: Side, scale: float) -> tuple[SimulatedShown, ...]:
    rows = session.execute(
        sa.select(
            SimulatedExcerpt.excerpt_id, SimulatedExcerpt.expected, SimulatedExcerpt.correlation, Excerpt.token_texts
        )
        .join(Excerpt, Excerpt.id == SimulatedExcerpt.excerpt_id)
        .where(SimulatedExcerpt.score_id == score_id)
        .order_by(SimulatedExcerpt.rank)
    ).all()
    true = _activations(session, neuron_id, [row.excerpt_id for row in rows])
    shown = []
    for row in rows:
        tokens = tuple(row.token_texts)
        expected = np.frombuffer(row.expected, STORED_EXPECTED).astype(np.float16)
        # A simulator of the negative side foretells how far below 0; the colours of that side want the sign.
        signed = -expected if side == "negative" else expected
        known = true.get(row.excerpt_id)
        shown.append(
            SimulatedShown(
                row.correlation,
                () if known is None else heatmap_spans(ActivationRecord(tokens, known), scale, side=side),
                heatmap_spans(ActivationRecord(tokens, signed), LARGEST_DISCRETISED, side=side),
            )
        )
    return tuple(shown)


def _activations(session: Session, neuron_id: int, excerpt_ids: list[int]) -> dict[int, Float16Array]:
    """By excerpt. One that stands in several bands has the same activations in each."""
    rows = session.execute(
        sa.select(ActivationRow.excerpt_id, ActivationRow.activations).where(
            ActivationRow.neuron_id == neuron_id, ActivationRow.excerpt_id.in_(excerpt_ids)
        )
    )
    return {excerpt_id: np.frombuffer(stored, STORED_FLOAT) for excerpt_id, stored in rows}
