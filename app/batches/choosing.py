"""Which neurons a batch is about: drawn at random, the best by a score, those with a clear peak, or listed by somebody.

Each way to choose is a small record of what was asked for, with the words for it, and one query.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, ClassVar

from sqlalchemy.orm import Session

from app.batches.choosing_by_score import (
    DEFAULT_METRIC,
    ScoreWanted,
    random_above,
    settled,
    top_of_each_layer,
    top_of_model,
)
from app.batches.clear_peaks import neurons_with_a_clear_peak
from app.batches.random_neurons import random_of_each_layer
from app.neurons.lists import ListedNeurons, listed_neurons
from app.neurons.reading import subject_named
from app.neurons.records import Side
from app.neurons.sets import set_members

__all__ = [
    "DEFAULT_METRIC",
    "DEFAULT_THRESHOLD",
    "ClearPeaks",
    "NeuronChoice",
    "RandomInterpretable",
    "RandomNeurons",
    "SavedSet",
    "TopNeurons",
    "TopPerLayer",
    "choice_as_json",
    "chosen_neurons",
    "in_words",
    "neurons_with_a_clear_peak",
    "settled_choice",
]

DEFAULT_THRESHOLD = 0.35
"""The paper's: a neuron whose reference explanation scores above it counts as interpretable."""


@dataclass(frozen=True)
class ClearPeaks:
    """So many neurons with a clear peak of each of these layers; None: of every layer."""

    kind: ClassVar[str] = "peaks"
    per_layer: int
    layers: Sequence[int] | None
    seed: int

    def in_words(self) -> str:
        return f"{self.per_layer} with a clear peak per layer{_of_layers(self.layers)}, seed {self.seed}"


@dataclass(frozen=True)
class RandomNeurons:
    """So many of each of these layers, whatever they are."""

    kind: ClassVar[str] = "random"
    per_layer: int
    layers: Sequence[int] | None
    seed: int

    def in_words(self) -> str:
        return f"random, {self.per_layer} per layer{_of_layers(self.layers)}, seed {self.seed}"


@dataclass(frozen=True)
class RandomInterpretable:
    """So many of each of these layers out of those with a score above the threshold."""

    kind: ClassVar[str] = "interpretable"
    per_layer: int
    layers: Sequence[int] | None
    seed: int
    threshold: float = DEFAULT_THRESHOLD
    metric: str = DEFAULT_METRIC
    method: str | None = None
    scorer: str = ""

    def in_words(self) -> str:
        score = _score_in_words(self.metric, self.method, self.scorer)
        drawn = f"{self.per_layer} per layer{_of_layers(self.layers)}, seed {self.seed}"
        return f"random interpretable ({score} above {self.threshold:g}), {drawn}"


@dataclass(frozen=True)
class TopPerLayer:
    """The best so many of each of these layers, by their scores."""

    kind: ClassVar[str] = "top-per-layer"
    per_layer: int
    layers: Sequence[int] | None = None
    metric: str = DEFAULT_METRIC
    method: str | None = None
    scorer: str = ""

    def in_words(self) -> str:
        score = _score_in_words(self.metric, self.method, self.scorer)
        return f"top {self.per_layer} per layer{_of_layers(self.layers)} by {score}"


@dataclass(frozen=True)
class TopNeurons:
    """The best so many of the whole model, by their scores."""

    kind: ClassVar[str] = "top"
    n: int
    metric: str = DEFAULT_METRIC
    method: str | None = None
    scorer: str = ""

    def in_words(self) -> str:
        return f"top {self.n} of the model by {_score_in_words(self.metric, self.method, self.scorer)}"


@dataclass(frozen=True)
class SavedSet:
    """The neurons of a set that somebody saved."""

    kind: ClassVar[str] = "set"
    name: str

    def in_words(self) -> str:
        return f"the set {self.name}"


NeuronChoice = ClearPeaks | RandomNeurons | RandomInterpretable | TopPerLayer | TopNeurons | SavedSet | ListedNeurons


def chosen_neurons(session: Session, subject_name: str, choice: NeuronChoice, side: Side = "positive") -> list[int]:
    """Ids of the neurons, layer by layer; of a list in its own order, of the whole model the best first.

    side: the end of the neurons' range whose peaks or scores count.
    Errors: UnknownName (subject, set), InvalidInput where there are fewer neurons than asked for.
    """
    subject = subject_named(session, subject_name)
    match choice:
        case ClearPeaks():
            return neurons_with_a_clear_peak(session, subject_name, choice.layers, choice.per_layer, choice.seed, side)
        case RandomNeurons():
            return random_of_each_layer(session, subject, choice.layers, choice.per_layer, choice.seed)
        case RandomInterpretable():
            score = ScoreWanted(choice.metric, choice.method, side, choice.scorer)
            return random_above(session, subject, score, choice.threshold, choice.layers, choice.per_layer, choice.seed)
        case TopPerLayer():
            score = ScoreWanted(choice.metric, choice.method, side, choice.scorer)
            return top_of_each_layer(session, subject, score, choice.layers, choice.per_layer)
        case TopNeurons():
            return top_of_model(
                session, subject, ScoreWanted(choice.metric, choice.method, side, choice.scorer), choice.n
            )
        case SavedSet():
            return set_members(session, subject_name, choice.name)
        case ListedNeurons():
            return [neuron.id for neuron in listed_neurons(session, subject, choice)]


def settled_choice(session: Session, subject_name: str, choice: NeuronChoice, side: Side) -> NeuronChoice:
    """A choice by score with the method and the scorer that it takes, as is written down; others as they are.

    Errors: UnknownName; InvalidInput where nothing is scored, or by several scorers.
    """
    if not isinstance(choice, RandomInterpretable | TopPerLayer | TopNeurons):
        return choice
    wanted = ScoreWanted(choice.metric, choice.method, side, choice.scorer)
    found = settled(session, subject_named(session, subject_name), wanted)
    return replace(choice, method=found.method, scorer=found.scorer)


def in_words(choice: NeuronChoice) -> str:
    """What people read of a choice, beside a batch or a saved set."""
    # Of a file its name alone: where it lies on somebody's machine is nobody's business.
    return f"listed in {PurePath(choice.file_name).name}" if isinstance(choice, ListedNeurons) else choice.in_words()


def choice_as_json(choice: NeuronChoice) -> dict[str, Any]:
    """What a saved set keeps of how it was chosen; of a list only its name, for its neurons are the set's."""
    if isinstance(choice, ListedNeurons):
        return {"kind": "listed", "in_words": in_words(choice)}
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(choice).items()}
    return {"kind": choice.kind, "in_words": in_words(choice), **asked}


def _of_layers(layers: Sequence[int] | None) -> str:
    """Runs of layers as people type them: 0-3, 7."""
    if layers is None:
        return ""
    runs: list[tuple[int, int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], layer)
        else:
            runs.append((layer, layer))
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return f" of layer {shown}" if len(layers) == 1 else f" of layers {shown}"


def _score_in_words(metric: str, method: str | None, scorer: str) -> str:
    return f"{metric} score" + (f" of {method}" if method else "") + (f" by {scorer}" if scorer else "")
