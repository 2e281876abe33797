"""Table 6: which method does best by which evaluation, and on the whole. Pure.

Ties share the mean of their ranks, so that the ranks of an evaluation always add up to the same.
"""

from collections import Counter, defaultdict
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


def average_ranks(evaluations: Sequence[Evaluation]) -> tuple[dict[str, float], list[Evaluation]]:
    """The mean of each method's ranks, and the evaluations that are not in it.

    What was measured again, by another scorer, on other puzzles or with another prompt pack, is averaged first: every
    evaluation by its name and explainer counts once. A rank among five says more than one among two: only evaluations
    of the same methods are averaged, those of the most common choice of methods, of the larger one where two are
    equally common.
    """
    choices = Counter(
        choice for _, _, choice in {(one.name, one.explainer, frozenset(one.means)) for one in evaluations}
    )
    if not choices:
        return {}, []
    compared = max(choices, key=lambda choice: (choices[choice], len(choice), sorted(choice)))
    alike: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for one in evaluations:
        if set(one.means) == compared:
            alike[one.name, one.explainer].append(ranks(one.means))
    averages = {
        method: float(np.mean([np.mean([each[method] for each in again]) for again in alike.values()]))
        for method in in_table_order(set(compared))
    }
    return averages, [one for one in evaluations if set(one.means) != compared]


def rank_table(subject: str, evaluations: Sequence[Evaluation], notes: Sequence[str], hint: str, command: str) -> Table:
    """A row per evaluation of two methods or more, and one of the averages."""
    told = [one for one in evaluations if len(one.means) > 1]
    methods = in_table_order({method for one in told for method in one.means})
    rows = [_row(one, methods) for one in told]
    averages, left_out = average_ranks(told)
    if told:
        rows.append(("Average rank", None, None, None, None, *(averages.get(method) for method in methods)))
    notes = [*notes, *(_left_out(one, set(averages)) for one in left_out)]
    return Table(
        name="6",
        number="Table 6",
        title="Rank of each method",
        subject=subject,
        caption="1 is the best; ties share the mean of their ranks. Machine evaluations compare means over the neurons "
        "that all their methods have, people's their mean ratings. The average counts every evaluation of an explainer "
        "once: by several scorers, studies or prompt packs it is averaged first.",
        columns=_columns(methods),
        rows=rows,
        notes=notes,
        hint=hint,
        command=command,
    )


def _left_out(one: Evaluation, averaged: set[str]) -> str:
    place = ", ".join(part for part in (one.by, one.explainer, one.prompt_pack) if part)
    differing = (("it lacks", averaged - set(one.means)), ("it has also", set(one.means) - averaged))
    why = " and ".join(
        f"{words} {', '.join(method_title(method) for method in in_table_order(methods))}"
        for words, methods in differing
        if methods
    )
    return f"Not in the average: {one.name} by {place}; {why}."


def _columns(methods: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("evaluation", "Evaluation"),
        Column("by", "By", "code", missing="", is_group=True),
        Column("explainer", "Explainer", "code", missing="", is_group=True),
        Column("prompt_pack", "Prompt pack", "code", missing="", is_group=True),
        Column("n", "n", "count", missing=""),
        *(Column(method, method_title(method), "number", 2, is_method=True) for method in methods),
    )


def _row(one: Evaluation, methods: Sequence[str]) -> tuple[Cell, ...]:
    ranked = ranks(one.means)
    return (one.name, one.by, one.explainer, one.prompt_pack, one.n, *(ranked.get(method) for method in methods))
