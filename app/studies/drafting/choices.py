"""What a new study can choose from: recorded subject models, their saved sets of neurons, and the conditions that have
described them."""

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import Batch
from app.explanations.methods import METHOD_TITLES, method_title
from app.explanations.models import DONE, Explanation
from app.neurons.models import Neuron, NeuronSet, SubjectModel
from app.studies.models import Condition, Study


@dataclass(frozen=True)
class ConditionChoice:
    """A condition as the form offers it. value: "method@explainer". title: the method's."""

    value: str
    title: str
    explainer: str


def subject_names(session: Session) -> tuple[str, ...]:
    return tuple(session.scalars(sa.select(SubjectModel.name).order_by(SubjectModel.name)))


def saved_set_names(session: Session, subject_name: str) -> tuple[str, ...]:
    names = sa.select(NeuronSet.name).join(SubjectModel, SubjectModel.id == NeuronSet.subject_id)
    return tuple(session.scalars(names.where(SubjectModel.name == subject_name).order_by(NeuronSet.name)))


def condition_choices(session: Session, subject_name: str) -> tuple[ConditionChoice, ...]:
    """The conditions with an explanation of this subject, by explainer and then in the methods' usual order."""
    known = _of_batches(session, subject_name) | _of_studies(session, subject_name) | _of_imports(session, subject_name)
    order = list(METHOD_TITLES)
    in_order = sorted(known, key=lambda pair: (pair[0], order.index(pair[1]) if pair[1] in order else len(order)))
    return tuple(ConditionChoice(f"{method}@{by}", method_title(method), by) for by, method in in_order)


def _of_batches(session: Session, subject_name: str) -> set[tuple[str, str]]:
    """(explainer, method) of what was explained here. Batches say what was ever asked for: a few rows, where the
    explanations themselves may be a million."""
    batch_ids: dict[tuple[str, str], list[int]] = defaultdict(list)
    batches = sa.select(Batch.id, Batch.methods, Batch.explainer).join(Batch.subject)
    for batch_id, methods, explainer in session.execute(batches.where(SubjectModel.name == subject_name)):
        for method in methods:
            batch_ids[explainer, method].append(batch_id)
    return {pair for pair, ids in batch_ids.items() if _has_explanation(session, pair[1], ids)}


def _of_studies(session: Session, subject_name: str) -> set[tuple[str, str]]:
    """(explainer, method) of earlier studies: those of an imported design came without a batch."""
    conditions = sa.select(Condition.explainer, Condition.method).join(Study, Study.id == Condition.study_id)
    of_subject = conditions.join(SubjectModel, SubjectModel.id == Study.subject_id)
    return {(by, method) for by, method in session.execute(of_subject.where(SubjectModel.name == subject_name))}


def _of_imports(session: Session, subject_name: str) -> set[tuple[str, str]]:
    """(explainer, method) of what was imported, which came without a batch; nothing else is read."""
    imported = (
        sa.select(Explanation.explainer, Explanation.method)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .join(SubjectModel, SubjectModel.id == Neuron.subject_id)
        .where(
            SubjectModel.name == subject_name,
            Explanation.batch_id.is_(None),
            Explanation.status == DONE,
            Explanation.side == "positive",
        )
        .distinct()
    )
    return {(by, method) for by, method in session.execute(imported)}


def _has_explanation(session: Session, method: str, batch_ids: list[int]) -> bool:
    done = sa.exists().where(
        Explanation.batch_id.in_(batch_ids),
        Explanation.method == method,
        Explanation.side == "positive",
        Explanation.status == DONE,
    )
    return bool(session.scalar(sa.select(done)))
