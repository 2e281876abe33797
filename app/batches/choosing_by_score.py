"""Chooses neurons by how well they can be explained: the best, or some above a threshold. Computes no score."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.random_neurons import checked_layers, drawn_of_each
from app.errors import InvalidInput
from app.explanations.methods import FALSE, REFERENCE
from app.explanations.models import Explanation, Score
from app.explanations.scoring.settings import ADACS
from app.neurons.models import MLP, Neuron, SubjectModel
from app.neurons.records import Side

DEFAULT_METRIC = "simulation"
IMPORTED = "imported"
"""The scorer of scores that came with a file."""


@dataclass(frozen=True)
class ScoreWanted:
    """What a neuron's score is: the largest value of a metric, by one scorer, over its explanations of one method and
    side. A puzzle's false explanations never count, and by AdaCS no reference, for it is what others are compared with.

    method: None takes the reference explanations where the subject has scores of any, else those of every method.
    scorer: empty takes `imported` where there is such a score, else the only scorer there is.
    """

    metric: str
    method: str | None
    side: Side
    scorer: str = ""


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
    as settled.
    """
    scores = _scores(session, subject, score)
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
    scores = _scores(session, subject, score)
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
    scores = _scores(session, subject, score)
    best = session.scalars(sa.select(scores.c.id).order_by(scores.c.value.desc(), scores.c.id).limit(n)).all()
    if len(best) < n:
        raise InvalidInput(f"{subject.name} has {len(best)} neurons with a {score.metric} score, {n} were asked for")
    return list(best)


def settled(session: Session, subject: SubjectModel, score: ScoreWanted) -> ScoreWanted:
    """The score with its method and its scorer settled: scores by different scorers are not on one scale.

    Errors: InvalidInput where no neuron of the subject has any, and where there are several scorers to choose among.
    """
    method, scorers = scorers_of(session, subject, score)
    of_method = f" of the method {score.method}" if score.method else ""
    if not scorers:
        by = f" by {score.scorer}" if score.scorer else ""
        raise InvalidInput(
            f"no explanation{of_method} of {subject.name} has any {score.metric} score{by}{_further(score)}"
        )
    if len(scorers) > 1 and IMPORTED not in scorers:
        names = ", ".join(scorers)
        raise InvalidInput(f"{subject.name} has {score.metric} scores by {names}; expected one of these scorers")
    return replace(score, method=method, scorer=IMPORTED if IMPORTED in scorers else next(iter(scorers)))


def _further(score: ScoreWanted) -> str:
    if score.metric == ADACS and score.method == REFERENCE:
        return " that counts: references are what the others are compared with; expected another method"
    return "; score or import some first"


def scorers_of(session: Session, subject: SubjectModel, score: ScoreWanted) -> tuple[str | None, dict[str, int]]:
    """The method whose scores count, None for all, and the scorers of them with their numbers of scores, by name."""
    methods = (REFERENCE, None) if score.method is None else (score.method,)
    scorers: dict[str, int] = {}
    for method in methods:
        by_scorer = scored(subject, replace(score, method=method)).with_only_columns(Score.scorer, sa.func.count())
        rows = session.execute(by_scorer.group_by(Score.scorer).order_by(Score.scorer))
        scorers = {row.scorer: row[1] for row in rows}
        if scorers:
            break
    return method, scorers


def scored(subject: SubjectModel, score: ScoreWanted) -> sa.Select[int, int, float | None]:
    """A query for (id, layer, value) of the subject's neurons with such a score, to be grouped by the first two."""
    found = (
        sa.select(Neuron.id, Neuron.layer, sa.func.max(Score.value).label("value"))
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .join(Score, Score.explanation_id == Explanation.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Explanation.side == score.side,
            Explanation.method.not_in((FALSE, REFERENCE) if score.metric == ADACS else (FALSE,)),
            Score.metric == score.metric,
            Score.value.is_not(None),
        )
    )
    if score.scorer:
        found = found.where(Score.scorer == score.scorer)
    return found if score.method is None else found.where(Explanation.method == score.method)


def _scores(session: Session, subject: SubjectModel, score: ScoreWanted) -> sa.Subquery:
    """(id, layer, value) of every neuron of the subject that has such a score. Errors: as settled."""
    return scored(subject, settled(session, subject, score)).group_by(Neuron.id, Neuron.layer).subquery()
