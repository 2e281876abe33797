"""Reads what the tables are made of. Every query has a subject model as its scope; rows come as tuples, never as ORM
objects: there may be a million of them.

Only explanations of the positive side count, and only methods: references and a puzzle's false explanations are what
methods are measured by.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.choosing_by_score import IMPORTED, ScoreWanted, scored, scorers_of
from app.errors import InvalidInput, UnknownName
from app.explanations.methods import FALSE, REFERENCE, method_title
from app.explanations.models import DONE, FAILED, Explanation, Score
from app.findings.figure3 import ScoredNeurons
from app.findings.values import ALL_NEURONS, ByCondition, Condition, Ids, Neurons, NeuronValues, in_table_order
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


def explainers_of(subject_id: int) -> sa.Select[str]:
    """A query for who explained neurons of this subject model, each once."""
    query = sa.select(Explanation.explainer).distinct().select_from(Neuron)
    return query.join(Explanation, Explanation.neuron_id == Neuron.id).where(is_explained(subject_id))


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


UNDEFINED = "undefined"
"""Measured, and there is no such number; other scores without a value failed: they came to nothing."""


def notes_without_value(
    session: Session, subject_id: int, metrics: Collection[str], sets: Sequence[Neurons]
) -> list[str]:
    """How many scores no mean of a row has, and by which methods; for people. Rows without any have no note."""
    words = sa.case((Score.status == DONE, UNDEFINED), else_=FAILED)
    condition = (Explanation.explainer, Explanation.prompt_pack, words)
    query = _scores_of(subject_id, metrics, Score.scorer, *condition, Explanation.method, Explanation.neuron_id)
    without: dict[tuple[str, ...], dict[str, array[int]]] = defaultdict(lambda: defaultdict(lambda: array("q")))
    is_lacking = sa.or_(Score.status == FAILED, sa.and_(Score.status == DONE, Score.value.is_(None)))
    for *place, method, neuron_id in session.execute(query.where(is_lacking).execution_options(yield_per=ROWS_AT_ONCE)):
        without[tuple(place)][method].append(neuron_id)
    return [
        note
        for neurons in sets
        for (*place, kind), methods in sorted(without.items())
        if (note := _note_without_value([neurons.name, *place], kind, methods, neurons.ids))
    ]


def _note_without_value(
    place: Sequence[str], kind: str, methods: Mapping[str, Sequence[int]], chosen: Ids | None
) -> str:
    counts = {
        method: len(ids) if chosen is None else int(np.isin(np.asarray(ids), chosen).sum())
        for method, ids in methods.items()
    }
    n = sum(counts.values())
    of_methods = ", ".join(f"{method_title(one)} {counts[one]:,}" for one in in_table_order(set(counts)) if counts[one])
    return f"{' · '.join(place)}: {n:,} {kind} score{'' if n == 1 else 's'} left out ({of_methods})." if n else ""


# Figure 3 -------------------------------------------------------------------------------------------------------------


def scored_neurons(
    session: Session, subject: SubjectModel, chosen: Neurons | None, *, n_top: int = N_TOP
) -> ScoredNeurons:
    """A set by its neurons' scores, or the best n_top of the model.

    A neuron's score is the best simulation score of its explanations by one scorer: of its references, where the model
    has scored references, else of all. Of several scorers it is `imported`, else the one with the most neurons.
    """
    wanted = ScoreWanted(SIMULATION, None, "positive")
    method, scorers = scorers_of(session, subject, wanted)
    scorer = IMPORTED if IMPORTED in scorers or not scorers else max(scorers, key=lambda one: scorers[one])
    query = scored(subject, replace(wanted, method=method, scorer=scorer)).group_by(Neuron.id, Neuron.layer)
    if chosen is None or chosen.ids is None:
        query = query.order_by(sa.desc("value"), Neuron.id).limit(n_top)
    rows = [tuple(row) for row in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE))]
    ids, layers, scores = (np.array(column) for column in (zip(*rows, strict=True) if rows else ((), (), ())))
    if chosen is None or chosen.ids is None:
        name, n_without = f"Top {min(n_top, len(rows)):,} by score", 0
    else:
        inside = np.isin(ids, chosen.ids)
        layers, scores = layers[inside], scores[inside]
        name, n_without = chosen.name, len(chosen.ids) - len(scores)
    of_what = "of references" if method == REFERENCE else "the best of a neuron's explanations"
    others = tuple(one for one in scorers if one != scorer)
    words = f"simulation by {scorer}, {of_what}"
    return ScoredNeurons(name, words, layers.astype(np.int64), scores.astype(np.float64), n_without, others)
