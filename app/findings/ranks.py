"""Table 6: which method does best by which evaluation, and on the whole. Pure.

Ties share the mean of their ranks, so that the ranks of an evaluation always add up to the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from app.explanations.methods import method_title
from app.findings.table import Cell, Column, Table
from app.findings.values import in_table_order

DECIMALS_COMPARED = 9
"""Means that agree so far are equal: beyond, they differ by the order in which they were added up."""


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation says of the methods of one explainer: more is better.

    name: `Simulation`, `Puzzles`, `Human`, ... by: the scorer, or the study. n: neurons, or ratings of one method.
    """

    name: str
    by: str
    explainer: str
    prompt_pack: str
    n: int
    means: Mapping[str, float]


def ranks(means: Mapping[str, float]) -> dict[str, float]:
    """1 is the best; ties share the mean of their ranks."""
    methods = list(means)
    values = np.round([means[method] for method in methods], DECIMALS_COMPARED)
    return dict(zip(methods, stats.rankdata(-values, method="average").tolist(), strict=True))


def average_ranks(evaluations: Sequence[Evaluation]) -> tuple[dict[str, float], int]:
    """The mean of each method's ranks, and over how many evaluations.

    A rank among five says more than one among two: only evaluations of the same methods are averaged, those of the
    most common choice of methods, of the larger one where two are equally common.
    """
    choices = Counter(frozenset(one.means) for one in evaluations)
    if not choices:
        return {}, 0
    compared = max(choices, key=lambda choice: (choices[choice], len(choice), sorted(choice)))
    ranked = [ranks(one.means) for one in evaluations if set(one.means) == compared]
    averages = {method: float(np.mean([each[method] for each in ranked])) for method in in_table_order(set(compared))}
    return averages, len(ranked)


def rank_table(subject: str, evaluations: Sequence[Evaluation], notes: Sequence[str], hint: str, command: str) -> Table:
    """A row per evaluation of two methods or more, and one of the averages."""
    told = [one for one in evaluations if len(one.means) > 1]
    methods = in_table_order({method for one in told for method in one.means})
    rows = [_row(one, methods) for one in told]
    averages, n_averaged = average_ranks(told)
    if told:
        rows.append(("Average rank", None, None, None, None, *(averages.get(method) for method in methods)))
    left_out = len(told) - n_averaged
    if left_out:
        words = (
            "evaluation is not in the average: it has"
            if left_out == 1
            else "evaluations are not in the average: they have"
        )
        notes = [*notes, f"{left_out} {words} other methods than most."]
    return Table(
        name="6",
        number="Table 6",
        title="Rank of each method",
        subject=subject,
        caption="1 is the best; ties share the mean of their ranks. Machine evaluations compare means over the neurons "
        "that all their methods have, people's their mean ratings.",
        columns=_columns(methods),
        rows=rows,
        notes=notes,
        hint=hint,
        command=command,
    )


def _columns(methods: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("evaluation", "Evaluation"),
        Column("by", "By", "code", missing="", is_group=True),
        Column("explainer", "Explainer", "code", missing="", is_group=True),
        Column("prompt_pack", "Prompt pack", "code", missing="", is_group=True),
        Column("n", "n", "count", missing=""),
        *(Column(method, method_title(method), "number", 2) for method in methods),
    )


def _row(one: Evaluation, methods: Sequence[str]) -> tuple[Cell, ...]:
    ranked = ranks(one.means)
    return (one.name, one.by, one.explainer, one.prompt_pack, one.n, *(ranked.get(method) for method in methods))
