"""Figure 3: neurons of a set by layer and by score, as numbers and as the places of bars. Pure: knows no markup."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.findings.table import Column, Table
from app.findings.values import Floats, Ids

WIDTH, BAR_TOP, BAR_BOTTOM = 480.0, 18.0, 150.0
"""Of a drawing, in its own units."""
SCORE_STEP = 0.05
N_STEPS_PER_ONE = round(1 / SCORE_STEP)


@dataclass(frozen=True)
class ScoredNeurons:
    """A set and its scores. name: of the set. layers, scores: shape (neurons,). n_without: members without a score.
    other_scorers: whose scores are not shown."""

    name: str
    score: str
    layers: Ids
    scores: Floats
    n_without: int
    other_scorers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bar:
    """Neurons of one bin. x, y, width, height: of its rectangle; height 0 for an empty bin. label: what it stands
    for, with its number."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Drawing:
    """A histogram. title: what is counted by what. bars: left to right. first, last: labels of the two ends.
    n_tallest: neurons of the fullest bin; heights are linear and end there."""

    title: str
    bars: tuple[Bar, ...]
    first: str
    last: str
    n_tallest: int


def layer_counts(scored: ScoredNeurons, n_layers: int) -> list[int]:
    """Neurons per layer, empty layers too."""
    return [int(count) for count in np.bincount(scored.layers, minlength=n_layers)]


def score_counts(scores: Floats) -> list[tuple[float, float, int]]:
    """(from, to, neurons) in steps of 0.05, from the lowest step that has any to the highest; empty of no scores.

    A score on an edge counts in the step above it; a perfect 1 in the last one below.
    """
    if not len(scores):
        return []
    # Scores such as 0.15 lie a bit below 3 / 20 in binary: rounding keeps them in the step that people see.
    steps = np.floor(np.round(scores * N_STEPS_PER_ONE, 9)).astype(int)
    steps = np.where(scores >= 1, np.minimum(steps, N_STEPS_PER_ONE - 1), steps)
    lowest = int(steps.min())
    counts = np.bincount(steps - lowest)
    return [
        ((lowest + index) / N_STEPS_PER_ONE, (lowest + index + 1) / N_STEPS_PER_ONE, int(count))
        for index, count in enumerate(counts)
    ]


def figure3_tables(subject: str, n_layers: int, scored: ScoredNeurons, hint: str, command: str) -> tuple[Table, Table]:
    """The figure's numbers: by layer, and by score."""
    n = len(scored.scores)
    caption = f"{scored.name}: {n:,} neuron{'' if n == 1 else 's'}. Score: {scored.score}."
    notes = [f"{scored.n_without:,} of the set have no score and are left out."] if scored.n_without else []
    if scored.other_scorers:
        notes.append(f"Not shown: scores by {', '.join(scored.other_scorers)}.")
    neurons = Column("n_neurons", "Neurons", "count")
    by_layer = Table(
        name="figure3-layers",
        number="Figure 3",
        title="Neurons by layer",
        subject=subject,
        caption=caption,
        columns=(Column("layer", "Layer", "count"), neurons),
        rows=list(enumerate(layer_counts(scored, n_layers))) if n else [],
        notes=notes,
        hint=hint,
        command=command,
    )
    by_score = Table(
        name="figure3-scores",
        number="Figure 3",
        title="Neurons by score",
        subject=subject,
        caption=caption,
        columns=(Column("low", "From", "number", 2), Column("high", "To", "number", 2), neurons),
        rows=score_counts(scored.scores),
        notes=notes,
        hint=hint,
        command=command,
    )
    return by_layer, by_score


def drawings(by_layer: Table, by_score: Table) -> tuple[Drawing, ...]:
    """Both histograms of `figure3_tables`; none of an empty one."""
    if not by_layer.rows:
        return ()
    layers = [(f"layer {layer}", n) for layer, n in by_layer.rows]
    scores = [(f"{low:.2f} to {high:.2f}".replace("-", "−"), n) for low, high, n in by_score.rows]
    ends = (scores[0][0].split(" to ")[0], scores[-1][0].split(" to ")[1])
    return (
        _drawing("Neurons by layer", layers, "0", str(len(layers) - 1)),
        _drawing("Neurons by score", scores, *ends),
    )


def _drawing(title: str, bins: Sequence[tuple[str, object]], first: str, last: str) -> Drawing:
    counts = [count for _, count in bins if isinstance(count, int)]
    n_tallest, width = max(counts), WIDTH / len(bins)
    bars = []
    for index, ((label, _), count) in enumerate(zip(bins, counts, strict=True)):
        height = round((BAR_BOTTOM - BAR_TOP) * count / n_tallest, 1)
        y = round(BAR_BOTTOM - height, 1)
        bars.append(Bar(round(index * width, 1), y, round(0.86 * width, 1), height, f"{label}: {count:,}"))
    return Drawing(title, tuple(bars), first, last, n_tallest)
