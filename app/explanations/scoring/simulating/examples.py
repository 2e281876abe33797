"""What simulators are told and shown before they predict: how neurons are meant, and few-shot neurons with their
values. Knows no layout: each simulator writes them down in its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.explanations.methods.prompt import FewShotNeuron
from app.explanations.texts import as_shown
from app.neurons.records import LARGEST_DISCRETISED, discretised

LARGEST = LARGEST_DISCRETISED
"""Simulators predict on the scale 0-10 that prompts show: 10 is the neuron's largest activation."""

Excerpt = tuple[str, ...]
"""The texts of an excerpt's tokens."""

TASK = (
    "A neuron of a language model gives every token of a text a number. A short description says which tokens it is "
    "looking for. Tokens that have nothing to do with the description get 0, and those are most; the better a token "
    "fits in its context, the higher its number, up to {largest}. A token is judged by the text up to it, never by "
    "what comes after."
)
"""For all simulators, as far as they agree."""


@dataclass(frozen=True)
class ExampleExcerpt:
    """An excerpt with the numbers that a good simulator gives: one per token, integers from 0 to the largest."""

    tokens: Excerpt
    levels: tuple[int, ...]


@dataclass(frozen=True)
class ExampleNeuron:
    """explanation: as explanations under test are written, with a full stop."""

    explanation: str
    excerpts: tuple[ExampleExcerpt, ...]


def example_neurons(
    few_shots: Sequence[FewShotNeuron], *, n_excerpts: int, largest: int = LARGEST
) -> tuple[ExampleNeuron, ...]:
    """The few-shot neurons of a prompt pack as simulators see them.

    n_excerpts: at most so many of each, best first; the others are left out. A neuron's scale is that of all of its
    excerpts, whether they are shown or not. largest: levels above it are shown as it.
    """
    return tuple(_example_neuron(few_shot, n_excerpts, largest) for few_shot in few_shots)


def _example_neuron(few_shot: FewShotNeuron, n_excerpts: int, largest: int) -> ExampleNeuron:
    maximum = max((record.maximum for record in few_shot.records), default=0.0)
    excerpts = tuple(
        ExampleExcerpt(
            record.tokens, tuple(min(level, largest) for level in discretised(record.activations, maximum).tolist())
        )
        for record in few_shot.records[:n_excerpts]
    )
    return ExampleNeuron(as_shown(few_shot.explanation), excerpts)
