"""How far the judging has come, by neuron, layer and condition: counts of judgements, never a rating.

Every query begins at the study's own raters and neurons; none scans a table that grows with the subject model.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.models import Neuron
from app.studies.models import Assignment, Card, CardCondition, Condition, Rater, Rating, Study, StudyNeuron
from app.studies.queries import counted_raters


@dataclass(frozen=True)
class NeuronCoverage:
    """One neuron of a study. n_judged of n_wanted judgements are in."""

    layer: int
    n_judged: int
    n_wanted: int


@dataclass(frozen=True)
class CoverageStep:
    """How many neurons have exactly n_judged judgements, out of n_neurons that all want n_wanted."""

    n_wanted: int
    n_judged: int
    n_neurons: int
    n_of: int


@dataclass(frozen=True)
class LayerCoverage:
    """One layer of the study's neurons. n_complete of n_neurons have all their judgements."""

    layer: int
    n_neurons: int
    n_complete: int
    n_judged: int
    n_wanted: int


@dataclass(frozen=True)
class ConditionCoverage:
    """n_ratings: how often a condition was rated; a card that stands for several counts for each."""

    method: str
    explainer: str
    n_ratings: int


@dataclass(frozen=True)
class Coverage:
    """All three views of one study. steps: by number wanted, then by number judged, gaps left out."""

    steps: tuple[CoverageStep, ...]
    layers: tuple[LayerCoverage, ...]
    conditions: tuple[ConditionCoverage, ...]


def coverage(session: Session, study: Study, n_raters: int) -> Coverage:
    """n_raters: how many judge the neurons that have no quota, see `queries.n_wanted`."""
    neurons = neuron_coverage(session, study, n_raters)
    return Coverage(coverage_steps(neurons), layer_coverage(neurons), condition_coverage(session, study))


def neuron_coverage(session: Session, study: Study, n_raters: int) -> list[NeuronCoverage]:
    """Every neuron of the study, in its order."""
    judged = (
        sa.select(Assignment.neuron_id, sa.func.count().label("n"))
        .join(Rater, Assignment.rater_id == Rater.id)
        .where(counted_raters(study.id), Assignment.submitted_at.is_not(None))
        .group_by(Assignment.neuron_id)
        .subquery()
    )
    query = (
        sa.select(Neuron.layer, sa.func.coalesce(judged.c.n, 0), StudyNeuron.quota)
        .join(StudyNeuron.neuron)
        .outerjoin(judged, judged.c.neuron_id == StudyNeuron.neuron_id)
        .where(StudyNeuron.study_id == study.id)
        .order_by(StudyNeuron.position)
    )
    rows = session.execute(query)
    return [NeuronCoverage(layer, n, n_raters if quota is None else quota) for layer, n, quota in rows]


def coverage_steps(neurons: Iterable[NeuronCoverage]) -> tuple[CoverageStep, ...]:
    counted = Counter((neuron.n_wanted, neuron.n_judged) for neuron in neurons)
    n_of: Counter[int] = Counter()
    for (wanted, _), n in counted.items():
        n_of[wanted] += n
    return tuple(CoverageStep(wanted, judged, n, n_of[wanted]) for (wanted, judged), n in sorted(counted.items()))


def layer_coverage(neurons: Sequence[NeuronCoverage]) -> tuple[LayerCoverage, ...]:
    """One row per layer, in their order."""
    return tuple(
        _layer(layer, [neuron for neuron in neurons if neuron.layer == layer])
        for layer in sorted({neuron.layer for neuron in neurons})
    )


def _layer(layer: int, neurons: Sequence[NeuronCoverage]) -> LayerCoverage:
    n_complete = sum(neuron.n_judged >= neuron.n_wanted for neuron in neurons)
    n_judged, n_wanted = sum(n.n_judged for n in neurons), sum(n.n_wanted for n in neurons)
    return LayerCoverage(layer, len(neurons), n_complete, n_judged, n_wanted)


def condition_coverage(session: Session, study: Study) -> tuple[ConditionCoverage, ...]:
    """One row per condition, in the study's order."""
    query = (
        sa.select(CardCondition.condition_id, sa.func.count().label("n"))
        .join(Assignment, Assignment.id == CardCondition.assignment_id)
        .join(Rater, Rater.id == Assignment.rater_id)
        .join(Card, Card.id == CardCondition.card_id)
        .join(Rating, Rating.card_id == Card.id)
        .where(counted_raters(study.id), Assignment.submitted_at.is_not(None), Assignment.cannot_judge.is_(None))
        .group_by(CardCondition.condition_id)
    )
    n_ratings = {row.condition_id: row.n for row in session.execute(query)}
    return tuple(_condition(condition, n_ratings.get(condition.id, 0)) for condition in study.conditions)


def _condition(condition: Condition, n_ratings: int) -> ConditionCoverage:
    return ConditionCoverage(condition.method, condition.explainer, n_ratings)
