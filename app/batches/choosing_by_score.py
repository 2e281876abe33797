"""Chooses neurons by how well they can be explained: the best, or some above a threshold. Computes no score."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.random_neurons import checked_layers, drawn_of_each
from app.errors import InvalidInput
from app.explanations.methods import REFERENCE
from app.explanations.models import Explanation, Score
from app.neurons.models import MLP, Neuron, SubjectModel
from app.neurons.records import Side

DEFAULT_METRIC = "simulation"


@dataclass(frozen=True)
class ScoreWanted:
    """What a neuron's score is: the largest value of a metric over its explanations of one method and side.

    method: None takes the reference explanations where the subject has scores of any, else those of every method.
    """

    metric: str
    method: str | None
    side: Side


def random_above(
    session: Session,
    subject: SubjectModel,
    score: ScoreWanted,
    threshold: float,
    layers: Sequence[int] | None,
    per_layer: int,
    seed: int,
) -> list[int]:
    """Ids of `per_layer` neurons of each layer drawn from those with a score above the threshold, layer by layer.

    layers: None takes every layer that has a scored neuron. Errors: InvalidInput for a layer with too few of them, and
    where nothing is scored.
    """
    scores = _scores(subject, _checked(session, subject, score))
    rows = session.execute(sa.select(scores.c.layer, scores.c.id, scores.c.value).order_by(scores.c.layer, scores.c.id))
    by_layer: defaultdict[int, list[int]] = defaultdict(list)
    for layer, neuron_id, value in rows:
        # Named even when none of its neurons is above: a layer that vanished without a word would skew a comparison.
        above = by_layer[layer]
        if value > threshold:
            above.append(neuron_id)
    what = f"neurons of {subject.name} with a {score.metric} score above {threshold:g}"
    return drawn_of_each(by_layer, layers, per_layer, seed, what)


def top_of_each_layer(
    session: Session, subject: SubjectModel, score: ScoreWanted, layers: Sequence[int] | None, per_layer: int
) -> list[int]:
    """Ids of the `per_layer` best neurons of each layer, layer by layer, the best first. Errors: as random_above."""
    scores = _scores(subject, _checked(session, subject, score))
    rows = session.execute(
        sa.select(scores.c.layer, scores.c.id).order_by(scores.c.layer, scores.c.value.desc(), scores.c.id)
    )
    by_layer: defaultdict[int, list[int]] = defaultdict(list)
    for layer, neuron_id in rows:
        by_layer[layer].append(neuron_id)
    wanted = checked_layers(by_layer, layers, per_layer, f"neurons of {subject.name} with a {score.metric} score")
    return [neuron_id for layer in wanted for neuron_id in by_layer[layer][:per_layer]]


def top_of_model(session: Session, subject: SubjectModel, score: ScoreWanted, n: int) -> list[int]:
    """Ids of the n best neurons of the whole model, the best first. Errors: InvalidInput where fewer are scored."""
    if n < 1:
        raise InvalidInput(f"{n} neurons; expected at least 1")
    scores = _scores(subject, _checked(session, subject, score))
    best = session.scalars(sa.select(scores.c.id).order_by(scores.c.value.desc(), scores.c.id).limit(n)).all()
    if len(best) < n:
        raise InvalidInput(f"{subject.name} has {len(best)} neurons with a {score.metric} score, {n} were asked for")
    return list(best)


def _scores(subject: SubjectModel, score: ScoreWanted) -> sa.Subquery:
    """(id, layer, value) of every neuron of the subject that has such a score."""
    return _scored(subject, score).group_by(Neuron.id, Neuron.layer).subquery()


def _scored(subject: SubjectModel, score: ScoreWanted) -> sa.Select[int, int, float | None]:
    found = (
        sa.select(Neuron.id, Neuron.layer, sa.func.max(Score.value).label("value"))
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .join(Score, Score.explanation_id == Explanation.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Explanation.side == score.side,
            Score.metric == score.metric,
            Score.value.is_not(None),
        )
    )
    return found if score.method is None else found.where(Explanation.method == score.method)


def _checked(session: Session, subject: SubjectModel, score: ScoreWanted) -> ScoreWanted:
    """The score with its method settled. Errors: InvalidInput where no neuron of the subject has any."""
    reference = ScoreWanted(score.metric, REFERENCE, score.side)
    for candidate in (reference, score) if score.method is None else (score,):
        if _is_any(session, subject, candidate):
            return candidate
    of_method = f" of the method {score.method}" if score.method else ""
    raise InvalidInput(
        f"no explanation{of_method} of {subject.name} has a {score.metric} score; score or import some first"
    )


def _is_any(session: Session, subject: SubjectModel, score: ScoreWanted) -> bool:
    one = _scored(subject, score).with_only_columns(sa.literal(1)).limit(1)
    return session.scalar(one) is not None
