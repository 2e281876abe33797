"""Reads every evaluation that Table 6 ranks by: machine scores, puzzles, and people once a study's results are open.

Knows of no embargo itself: app/studies says whose results may be seen.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.explainers import NONE
from app.explanations.methods import FALSE, REFERENCE, method_title
from app.findings.queries import (
    ADACS,
    PUZZLES,
    SIMULATION,
    explainers_of,
    neurons_compared,
    puzzle_subjects,
    score_values,
)
from app.findings.ranks import Evaluation
from app.findings.values import Block, Neurons, blocks, in_table_order, matched
from app.neurons.models import SubjectModel
from app.studies.models import Study
from app.studies.queries import are_results_open
from app.studies.results.summary import study_results
from app.studies.running.seeing import neuron_ids

Ranked = tuple[Evaluation, str]
"""With what was left out of it; an empty text where nothing was."""
METRIC_TITLES = {
    SIMULATION: "Simulation",
    ADACS: "AdaCS",
    "detection": "Detection",
    "fuzzing": "Fuzzing",
    "lexical": "Lexical",
}
"""Metrics of which it is known that more is better: others are not ranked."""
ON_PUZZLES, HUMAN = "Puzzles", "Human"


def metric_title(metric: str) -> str:
    return METRIC_TITLES.get(metric, metric)


@dataclass(frozen=True)
class Evaluations:
    """found: those of at least two methods, in the order of Table 6. notes: what was left out, for people."""

    found: tuple[Evaluation, ...]
    notes: tuple[str, ...]


def evaluations(session: Session, subject: SubjectModel, set_name: str | None) -> Evaluations:
    """set_name: the neurons that machine scores are taken over; None: all.

    Errors: UnknownName for a set that the subject model does not have.
    """
    ranked = [*_of_machines(session, subject, set_name), *_of_puzzles(session, subject), *_of_people(session, subject)]
    order = [METRIC_TITLES[SIMULATION], METRIC_TITLES[ADACS], ON_PUZZLES, HUMAN, *METRIC_TITLES.values()]
    ranked.sort(key=lambda one: (order.index(one[0].name), one[0].by, one[0].explainer, one[0].prompt_pack))
    found = tuple(one for one, _ in ranked if len(one.means) > 1)
    return Evaluations(found, tuple(note for _, note in ranked if note))


def studies_with_results(session: Session, subject_id: int) -> list[Study]:
    """The subject model's studies whose results may be seen: closed, or unmasked before."""
    query = sa.select(Study).where(Study.subject_id == subject_id).order_by(Study.slug)
    return [study for study in session.scalars(query) if are_results_open(session, study)]


def neurons_told_about(session: Session, subject_id: int) -> list[int]:
    """Of those studies: who has seen their results rates none of these neurons any more."""
    studies = studies_with_results(session, subject_id)
    return sorted({neuron_id for study in studies for neuron_id in neuron_ids(session, study)})


def _of_machines(session: Session, subject: SubjectModel, set_name: str | None) -> Iterator[Ranked]:
    chosen = neurons_compared(session, subject.id, set_name)[0]
    # On puzzles the comparison with references is that with the truth: it has a name of its own.
    metrics = [metric for metric in METRIC_TITLES if (metric, subject.architecture) != (ADACS, PUZZLES)]
    yield from _scored(session, subject.id, metrics, chosen)


def _of_puzzles(session: Session, subject: SubjectModel) -> Iterator[Ranked]:
    """By the explainers alone that explained neurons of the subject model: others say nothing of it."""
    explainers = set(session.scalars(explainers_of(subject.id)))
    for puzzles in puzzle_subjects(session):
        for one, note in _scored(session, puzzles.id, [ADACS], Neurons(puzzles.name, None), ON_PUZZLES):
            if one.explainer in explainers:
                yield one, note


def _scored(
    session: Session, subject_id: int, metrics: list[str], neurons: Neurons, name: str | None = None
) -> Iterator[Ranked]:
    for block in blocks(score_values(session, subject_id, metrics), [neurons]):
        if len(block.methods) > 1:
            yield _ranked(block, name or metric_title(block.condition.metric))


def _ranked(block: Block, name: str) -> Ranked:
    """The methods' means over the neurons that all of them have, without methods that would leave few of these."""
    n_best = max(len(values.values) for values in block.methods.values())
    covering = {method: values for method, values in block.methods.items() if len(values.values) * 2 >= n_best}
    methods, values, _ = matched(covering)
    sparse = [method_title(method) for method in in_table_order(set(block.methods) - set(covering))]
    notes = [f"{' and '.join(sparse)} left out, with less than half of the neurons of others."] if sparse else []
    if not len(values):
        notes.append("Not ranked, for no neuron has a score of every method.")
    means = dict(zip(methods, values.mean(axis=0).tolist(), strict=True)) if len(values) else {}
    one = block.condition
    note = f"{name} by {one.scorer}, {one.explainer}, {one.prompt_pack}: {' '.join(notes)}" if notes else ""
    return Evaluation(name, one.scorer, one.explainer, one.prompt_pack, len(values), means), note


def _of_people(session: Session, subject: SubjectModel) -> Iterator[Ranked]:
    for study in studies_with_results(session, subject.id):
        means: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
        for row in study_results(session, study.slug).rows:
            if row.mean_rating is not None and row.method not in (REFERENCE, FALSE):
                means[row.explainer][row.method] = row.mean_rating, row.n
        # What no explainer made stands beside what each made.
        baselines = means.pop(NONE, {}) if len(means) > 1 else {}
        for explainer, rated in means.items():
            of_methods = baselines | rated
            n = min(n for _, n in of_methods.values())
            ratings = {method: mean for method, (mean, _) in of_methods.items()}
            yield Evaluation(HUMAN, study.slug, explainer, "", n, ratings), ""
