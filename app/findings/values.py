"""One number per neuron and method, in arrays: what the tables take means and differences of. Pure.

Several explanations of a neuron by one method (samples) are averaged first: they are not independent of one another,
and a standard error over them would be too small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.explanations.explainers import NONE
from app.explanations.methods import METHOD_TITLES
from app.findings.table import Estimate

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
ALL_NEURONS = "All neurons"


@dataclass(frozen=True)
class Condition:
    """What has to be the same for methods to be compared. metric, scorer: empty where nothing was scored."""

    metric: str
    scorer: str
    explainer: str
    prompt_pack: str


@dataclass(frozen=True)
class NeuronValues:
    """A number per neuron. neuron_ids: rising, each once, shape (neurons,); values: finite, shape (neurons,)."""

    neuron_ids: Ids
    values: Floats

    def of(self, neuron_ids: Ids | None) -> "NeuronValues":
        """Those of these neurons; None: all."""
        if neuron_ids is None:
            return self
        chosen = np.isin(self.neuron_ids, neuron_ids)
        return NeuronValues(self.neuron_ids[chosen], self.values[chosen])


ByMethod = Mapping[str, NeuronValues]
ByCondition = Mapping[Condition, ByMethod]


@dataclass(frozen=True)
class Neurons:
    """A neuron set by name. ids: None for all neurons of the subject model."""

    name: str
    ids: Ids | None


@dataclass(frozen=True)
class Block:
    """The methods of one condition on one neuron set; methods without any value there are not in it."""

    neurons: str
    condition: Condition
    methods: ByMethod


def blocks(by_condition: ByCondition, sets: Sequence[Neurons]) -> list[Block]:
    """Every condition on every set, in the order of the sets; those without a value are left out.

    What no explainer made, such as the most activating tokens, stands beside every explainer's of the same excerpts.
    """
    merged = _with_baselines(by_condition)
    found = []
    for neurons in sets:
        for condition in sorted(merged, key=lambda one: (one.metric, one.scorer, one.explainer, one.prompt_pack)):
            chosen = {method: values.of(neurons.ids) for method, values in merged[condition].items()}
            here = {method: values for method, values in chosen.items() if len(values.values)}
            if here:
                found.append(Block(neurons.name, condition, here))
    return found


def _with_baselines(by_condition: ByCondition) -> ByCondition:
    merged = {condition: dict(methods) for condition, methods in by_condition.items()}
    for baseline in [condition for condition in merged if condition.explainer == NONE]:
        others = [other for other in merged if other.explainer != NONE and _compares(other, baseline)]
        for other in others:
            merged[other] = merged[baseline] | merged[other]
        if others:
            del merged[baseline]
    return merged


def _compares(one: Condition, baseline: Condition) -> bool:
    """By the same scorer, on excerpts chosen the same way. How many examples a prompt has is no matter of excerpts."""
    return (one.metric, one.scorer) == (baseline.metric, baseline.scorer) and _excerpt_options(
        one.prompt_pack
    ) == _excerpt_options(baseline.prompt_pack)


def _excerpt_options(prompt_pack: str) -> list[str]:
    """`default@...+top5+8excerpts+1shot` has top5 and 8excerpts."""
    return [
        option for option in prompt_pack.rpartition("@")[2].split("+")[1:] if not option.endswith(("shot", "shots"))
    ]


def in_table_order(methods: set[str]) -> list[str]:
    """The paper's order, then other methods by name."""
    known = list(METHOD_TITLES)
    return sorted(methods, key=lambda name: (known.index(name) if name in known else len(known), name))


def estimate(values: Floats) -> Estimate | None:
    """Mean and its standard error, SD (n - 1) / sqrt(n). None of no values."""
    n = len(values)
    if n == 0:
        return None
    sem = float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else None
    return Estimate(float(np.mean(values)), sem, n)


def matched(methods: ByMethod) -> tuple[list[str], Floats, int]:
    """The neurons that all of these methods have.

    Returns the methods in the tables' order, their values of shape (neurons, methods), and how many neurons were left
    out because a method lacks them.
    """
    names = in_table_order(set(methods))
    n_methods_of = np.unique(np.concatenate([methods[name].neuron_ids for name in names]), return_counts=True)
    shared = n_methods_of[0][n_methods_of[1] == len(names)]
    columns = [methods[name].of(shared).values for name in names]
    return names, np.stack(columns, axis=1), len(n_methods_of[0]) - len(shared)
