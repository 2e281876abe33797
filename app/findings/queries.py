"""Reads what the tables are made of. Every query has a subject model as its scope; rows come as tuples, never as ORM
objects: there may be a million of them.

Only explanations of the positive side count, and only methods: references and a puzzle's false explanations are what
methods are measured by.
"""

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput, UnknownName
from app.explanations.methods import FALSE, REFERENCE
from app.explanations.models import DONE, FAILED, Explanation, Score
from app.findings.figure3 import ScoredNeurons
from app.findings.values import ALL_NEURONS, ByCondition, Condition, Neurons, NeuronValues
from app.neurons.models import MLP, Neuron, NeuronSet, NeuronSetMember, SubjectModel
from app.neurons.reading import is_readable, subject_named
from app.neurons.records import POSITIVE

PUZZLES = "puzzles"
"""Architecture of a subject model whose neurons are puzzles."""
SIMULATION, ADACS = "simulation", "adacs"
ROWS_AT_ONCE = 10_000
N_TOP = 1000
"""Neurons of Figure 3 unless a set is named, as in the paper."""
Rows = sa.Select[*tuple[Any, ...]]
"""A query for tuples."""


# Subjects and sets ----------------------------------------------------------------------------------------------------


def readable_subjects(session: Session) -> list[tuple[str, bool]]:
    """(name, whether its neurons are puzzles) of every subject model that may be read, puzzles last."""
    query = sa.select(SubjectModel.name, SubjectModel.architecture).where(is_readable(SubjectModel.id))
    found = [(name, architecture == PUZZLES) for name, architecture in session.execute(query)]
    return sorted(found, key=lambda one: (one[1], one[0]))


def chosen_subject(session: Session, name: str | None) -> SubjectModel:
    """The subject model of that name; None takes the only one there is, puzzles not counted.

    Errors: UnknownName; InvalidInput where a name is needed to choose among several.
    """
    if name is not None:
        return subject_named(session, name)
    names = [subject for subject, is_puzzles in readable_subjects(session) if not is_puzzles]
    if len(names) != 1:
        among = f"one of {', '.join(names)}" if names else "one that was recorded or imported; there is none yet"
        raise InvalidInput(f"say which subject model: {among}")
    return subject_named(session, names[0])


def puzzle_subjects(session: Session) -> list[SubjectModel]:
    query = sa.select(SubjectModel).where(SubjectModel.architecture == PUZZLES, is_readable(SubjectModel.id))
    return list(session.scalars(query.order_by(SubjectModel.name)))


def neuron_set_names(session: Session, subject_id: int) -> list[str]:
    """By name."""
    query = sa.select(NeuronSet.name).where(NeuronSet.subject_id == subject_id)
    return list(session.scalars(query.order_by(NeuronSet.name)))


def neurons_compared(session: Session, subject_id: int, set_name: str | None) -> list[Neurons]:
    """All neurons and then every stored set; only one where it is named. Errors: UnknownName."""
    query = sa.select(NeuronSet.id, NeuronSet.name).where(NeuronSet.subject_id == subject_id)
    sets = session.execute(query.order_by(NeuronSet.name)).all()
    if set_name is None:
        return [Neurons(ALL_NEURONS, None), *(_members(session, set_id, name) for set_id, name in sets)]
    for set_id, name in sets:
        if name == set_name:
            return [_members(session, set_id, name)]
    names = ", ".join(name for _, name in sets) or "none yet"
    raise UnknownName(f"there is no neuron set {set_name!r} of this subject model; there are: {names}")


def _members(session: Session, set_id: int, name: str) -> Neurons:
    ids = session.scalars(sa.select(NeuronSetMember.neuron_id).where(NeuronSetMember.set_id == set_id))
    return Neurons(name, np.fromiter(ids, dtype=np.int64))


# Numbers per neuron ---------------------------------------------------------------------------------------------------


def is_explained(subject_id: int) -> sa.ColumnElement[bool]:
    """Condition on a Neuron with its Explanations: those of this subject model that a method made."""
    return sa.and_(
        Neuron.subject_id == subject_id,
        Neuron.site == MLP,
        Explanation.side == POSITIVE,
        Explanation.status == DONE,
        Explanation.method.not_in((REFERENCE, FALSE)),
    )


def score_values(session: Session, subject_id: int, metrics: Collection[str]) -> ByCondition:
    """The mean score of each neuron by method, for every scorer, explainer and prompt pack. Undefined ones are out."""
    condition = (Score.metric, Score.scorer, Explanation.explainer, Explanation.prompt_pack)
    query = _scores_of(subject_id, metrics, *condition, Explanation.method, Explanation.neuron_id, Score.value)
    return _by_condition(session, query.where(Score.status == DONE, Score.value.is_not(None)))


def length_values(session: Session, subject_id: int) -> ByCondition:
    """Tokens of prompt and completion, the mean of each neuron by method; explanations without a count are out."""
    n_tokens = Explanation.n_prompt_tokens + Explanation.n_completion_tokens
    condition = (sa.literal(""), sa.literal(""), Explanation.explainer, Explanation.prompt_pack)
    query = (
        sa.select(*condition, Explanation.method, Explanation.neuron_id, n_tokens)
        .select_from(Neuron)
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .where(is_explained(subject_id), n_tokens.is_not(None))
    )
    return _by_condition(session, query)


def _scores_of(subject_id: int, metrics: Collection[str], *columns: Any) -> Rows:
    return (
        sa.select(*columns)
        .select_from(Neuron)
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .join(Score, Score.explanation_id == Explanation.id)
        .where(is_explained(subject_id), Score.metric.in_(metrics))
    )


def _by_condition(session: Session, query: Rows) -> ByCondition:
    """Of rows (metric, scorer, explainer, prompt pack, method, neuron, value), one per explanation.

    They are averaged here: a database that groups a million rows by six columns takes longer than reading them does.
    """
    read: dict[tuple[str, ...], tuple[array[int], array[float]]] = {}
    for *place, neuron_id, value in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)):
        ids, values = read.setdefault(tuple(place), (array("q"), array("d")))
        ids.append(neuron_id)
        values.append(value)
    found: dict[Condition, dict[str, NeuronValues]] = {}
    for (*condition, method), (ids, values) in read.items():
        found.setdefault(Condition(*condition), {})[method] = _averaged(ids, values)
    return found


def _averaged(ids: Iterable[int], values: Iterable[float]) -> NeuronValues:
    """The mean of each neuron's values."""
    neuron_ids, numbers = np.asarray(ids, dtype=np.int64), np.asarray(values, dtype=np.float64)
    # Databases return rows in whatever order they like; the last digit of a sum must not depend on it.
    order = np.lexsort((numbers, neuron_ids))
    distinct, place, counts = np.unique(neuron_ids[order], return_inverse=True, return_counts=True)
    return NeuronValues(distinct, np.bincount(place, numbers[order]) / counts)


@dataclass(frozen=True)
class WithoutValue:
    """Scores that no mean has. n_undefined: measured, and undefined. n_failed: came to nothing."""

    n_undefined: int
    n_failed: int

    @property
    def notes(self) -> list[str]:
        """For people; empty where there is nothing to say."""
        counts = ((self.n_undefined, "undefined"), (self.n_failed, "failed"))
        return [f"{n:,} {words} score{'' if n == 1 else 's'} left out." for n, words in counts if n]


def without_value(session: Session, subject_ids: Sequence[int], metrics: Collection[str]) -> WithoutValue:
    counts = [0, 0]
    for subject_id in subject_ids:
        undefined = sa.func.count().filter(Score.status == DONE, Score.value.is_(None))
        failed = sa.func.count().filter(Score.status == FAILED)
        row = session.execute(_scores_of(subject_id, metrics, undefined, failed)).one()
        counts = [total + n for total, n in zip(counts, row, strict=True)]
    return WithoutValue(*counts)


# Figure 3 -------------------------------------------------------------------------------------------------------------


def scored_neurons(session: Session, subject_id: int, chosen: Neurons | None, *, n_top: int = N_TOP) -> ScoredNeurons:
    """A set by its neurons' scores, or the best n_top of the model.

    A neuron's score is the best simulation score of its explanations: of its references, where the model has scored
    references, else of all.
    """
    by_references = _best_scores(subject_id, of_references=True)
    has_references = session.execute(by_references.limit(1)).first() is not None
    words = "simulation, of references" if has_references else "simulation, the best of a neuron's explanations"
    query = by_references if has_references else _best_scores(subject_id, of_references=False)
    if chosen is None or chosen.ids is None:
        query = query.order_by(sa.desc("score"), Neuron.id).limit(n_top)
    rows = [tuple(row) for row in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE))]
    ids, layers, scores = (np.array(column) for column in (zip(*rows, strict=True) if rows else ((), (), ())))
    if chosen is None or chosen.ids is None:
        name, n_without = f"Top {min(n_top, len(rows)):,} by score", 0
    else:
        inside = np.isin(ids, chosen.ids)
        layers, scores = layers[inside], scores[inside]
        name, n_without = chosen.name, len(chosen.ids) - len(scores)
    return ScoredNeurons(name, words, layers.astype(np.int64), scores.astype(np.float64), n_without)


def _best_scores(subject_id: int, *, of_references: bool) -> Rows:
    is_reference = Explanation.method == REFERENCE
    return (
        sa.select(Neuron.id, Neuron.layer, sa.func.max(Score.value).label("score"))
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .join(Score, Score.explanation_id == Explanation.id)
        .where(
            Neuron.subject_id == subject_id,
            Neuron.site == MLP,
            Explanation.side == POSITIVE,
            is_reference if of_references else Explanation.method.not_in((REFERENCE, FALSE)),
            Score.metric == SIMULATION,
            Score.status == DONE,
            Score.value.is_not(None),
        )
        .group_by(Neuron.id, Neuron.layer)
    )
