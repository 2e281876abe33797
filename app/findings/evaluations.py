"""Reads every evaluation that Table 6 ranks by: machine scores, puzzles, and people once a study's results are open.

Knows of no embargo itself: app/studies says whose results may be seen.
"""

from collections import defaultdict
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.findings.queries import ADACS, PUZZLES, SIMULATION, neurons_compared, puzzle_subjects, score_values
from app.findings.ranks import Evaluation
from app.findings.values import Neurons, blocks, matched
from app.neurons.models import SubjectModel
from app.studies.models import Study
from app.studies.queries import are_results_open
from app.studies.results.summary import study_results
from app.studies.running.seeing import neuron_ids

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


def evaluations(session: Session, subject: SubjectModel, set_name: str | None) -> list[Evaluation]:
    """Those of at least two methods, in the order of Table 6. set_name: the neurons that machine scores are taken over;
    None: all.

    Errors: UnknownName for a set that the subject model does not have.
    """
    found = [*_of_machines(session, subject, set_name), *_of_puzzles(session), *_of_people(session, subject)]
    order = [METRIC_TITLES[SIMULATION], METRIC_TITLES[ADACS], ON_PUZZLES, HUMAN, *METRIC_TITLES.values()]
    return sorted(found, key=lambda one: (order.index(one.name), one.by, one.explainer, one.prompt_pack))


def studies_with_results(session: Session, subject_id: int) -> list[Study]:
    """The subject model's studies whose results may be seen: closed, or unmasked before."""
    query = sa.select(Study).where(Study.subject_id == subject_id).order_by(Study.slug)
    return [study for study in session.scalars(query) if are_results_open(session, study)]


def neurons_told_about(session: Session, subject_id: int) -> list[int]:
    """Of those studies: who has seen their results rates none of these neurons any more."""
    studies = studies_with_results(session, subject_id)
    return sorted({neuron_id for study in studies for neuron_id in neuron_ids(session, study)})


def _of_machines(session: Session, subject: SubjectModel, set_name: str | None) -> Iterator[Evaluation]:
    chosen = neurons_compared(session, subject.id, set_name)[0]
    # On puzzles the comparison with references is that with the truth: it has a name of its own.
    metrics = [metric for metric in METRIC_TITLES if (metric, subject.architecture) != (ADACS, PUZZLES)]
    yield from _scored(session, subject.id, metrics, chosen)


def _of_puzzles(session: Session) -> Iterator[Evaluation]:
    for puzzles in puzzle_subjects(session):
        yield from _scored(session, puzzles.id, [ADACS], Neurons(puzzles.name, None), ON_PUZZLES)


def _scored(
    session: Session, subject_id: int, metrics: list[str], neurons: Neurons, name: str | None = None
) -> Iterator[Evaluation]:
    for block in blocks(score_values(session, subject_id, metrics), [neurons]):
        methods, values, _ = matched(block.methods)
        if len(methods) > 1 and len(values):
            means = dict(zip(methods, values.mean(axis=0).tolist(), strict=True))
            one = block.condition
            title = name or metric_title(one.metric)
            yield Evaluation(title, one.scorer, one.explainer, one.prompt_pack, len(values), means)


def _of_people(session: Session, subject: SubjectModel) -> Iterator[Evaluation]:
    for study in studies_with_results(session, subject.id):
        means: dict[str, dict[str, float]] = defaultdict(dict)
        counts: dict[str, list[int]] = defaultdict(list)
        for row in study_results(session, study.slug).rows:
            if row.mean_rating is not None:
                means[row.explainer][row.method] = row.mean_rating
                counts[row.explainer].append(row.n)
        for explainer, of_methods in means.items():
            if len(of_methods) > 1:
                yield Evaluation(HUMAN, study.slug, explainer, "", min(counts[explainer]), of_methods)
